"""The training run to which all of it happens: two epochs of three steps, saved after each step."""

from pathlib import Path
from typing import Any

import torch

from defdetr_ref import checkpoints
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.shapes import ShapesConfig, write_shapes
from defdetr_ref.data.transforms import PlainTransform
from defdetr_ref.training import TrainConfig, train
from defdetr_ref.training.interruption import interrupts_remembered
from defdetr_ref.training.run_folder import RunFolder
from tests.faults.moments import Moments
from tests.training.runs import new_model, timeless

CONFIG = TrainConfig(
    epochs=2, batch_size=2, lr=1e-3, backbone_lr_factor=1.0, seed=3, ema_decay=0.5, save_every=1e-9, timeout=0.05
)


class Watched(CocoDetection):
    """A set with whose first image moments begin to be counted, if they are given."""

    moments: Moments | None = None

    def __getitem__(self, index):
        if self.moments is not None:
            self.moments.start()
        return super().__getitem__(index)


def draw(folder: Path) -> dict[str, Path]:
    """The data, small and quick."""
    return write_shapes(
        folder / "shapes", ShapesConfig(image_size=(48, 64), max_side=32), train=7, val=3, progress=False
    )


def go(paths: dict[str, Path], folder: Path, moments: Moments, late: bool = False) -> None:
    """Train in `folder`, or go on there, as the command line does. Moments are counted from the beginning, or from the
    first image on.
    """
    with interrupts_remembered():
        _go(paths, folder, moments, late)


def _go(paths: dict[str, Path], folder: Path, moments: Moments, late: bool) -> None:
    torch.set_num_threads(1)
    if not late:
        moments.start()
    train_set = Watched(paths["train_images"], paths["train_annotations"], PlainTransform(flip=True))
    train_set.moments = moments if late else None
    val_set = CocoDetection(paths["val_images"], paths["val_annotations"])
    run = RunFolder(folder)
    resume = run.config.exists()
    model = new_model(attention_backend="torch")
    train(model, train_set, folder, CONFIG, val_set=val_set, resume=resume, progress=False)


def import_what_is_late() -> None:
    """What PyTorch imports with the first step of an optimizer, so that not every process does."""
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([parameter], fused=True)
    parameter.sum().backward()
    optimizer.step()


def content(folder: Path) -> dict[str, Any]:
    """All that a finished run leaves, less what time tells; see `same`."""
    last, best = (checkpoints.read(folder / name) for name in ("last.pt", "best.pt"))
    last["record"] = timeless([last["record"]])
    return {"last": last, "best": best, "metrics": timeless(RunFolder(folder).read_metrics())}


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal, tensors bit for bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))
