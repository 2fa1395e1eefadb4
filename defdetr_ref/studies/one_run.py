"""One run of the convergence study: draw, train, measure, write."""

import dataclasses
import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.shapes import write_shapes
from defdetr_ref.data.transforms import PlainTransform
from defdetr_ref.explain.matrices import attention_matrices, normalised_entropy, spatial_spread
from defdetr_ref.inference import evaluation_mode
from defdetr_ref.provenance import machine, versions
from defdetr_ref.studies.plan import MODELS, Run, Settings
from defdetr_ref.studies.results import as_json, finished, write_json
from defdetr_ref.training import train

DECIMALS = 5  # of what the files hold; more would be noise


def draw_data(settings: Settings, work: Path) -> dict[str, Path]:
    """The study's data set, drawn unless it is there."""
    counts = {"train": settings.train_images, "val": settings.val_images}
    return write_shapes(work / "shapes", settings.canvas, **counts, seed=settings.data_seed, progress=False)


def do_run(run: Run, settings: Settings, out: Path, work: Path) -> dict[str, Any]:
    """The content of the run's file; trained, or gone on with, if it is not there yet."""
    path = out / f"{run.name}.json"
    config = run.train_config(settings)
    identity = {"run": dataclasses.asdict(run), "train": config.identity(), "settings": settings.shared()}
    if finished(path, identity):
        return json.loads(path.read_text(encoding="utf-8"))
    train_set, val_set = _open(draw_data(settings, work))
    model = new_model(run, settings)
    measure = Measurement(torch.stack([val_set[index][0] for index in range(settings.focus_images)]))
    untrained = {"epoch": 0, **measure.attention(model)}
    folder = work / f"{run.name}-{_digest(identity)}"
    options = {"val_set": val_set, "resume": (folder / "config.json").exists(), "progress": False, "measure": measure}
    epochs = [untrained, *(_rounded(row) for row in train(model, train_set, folder, config, **options)["metrics"])]
    content = as_json({
        **identity,
        "epochs": epochs,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": {name: round(sum(row[name] for row in epochs[1:]), 1) for name in ("seconds", "cpu_seconds")},
        "finished": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
    })  # fmt: skip
    write_json(path, content)
    shutil.rmtree(folder)  # the results are written, so its checkpoint is of no more use
    return content


def new_model(run: Run, settings: Settings) -> nn.Module:
    """The run's model with the first weights of its seed."""
    torch.manual_seed(run.seed)
    return MODELS[run.model](settings.model_config())


class Measurement:
    """What a run notes after every epoch beside loss and AP: where attention goes, and the CPU's seconds.

    images: (N, 3, H, W), always the same ones.
    """

    def __init__(self, images: Float[Tensor, "batch 3 height width"]):
        self.images = images
        self.cpu_start = time.process_time()

    def __call__(self, model: nn.Module) -> dict[str, Any]:
        found = self.attention(model)
        now = time.process_time()
        seconds, self.cpu_start = now - self.cpu_start, now
        return {**found, "cpu_seconds": round(seconds, 2)}

    def attention(self, model: nn.Module) -> dict[str, list[float]]:
        """Mean entropy and spread over images, heads and queries: for each part a list with a number for each layer."""
        mask = torch.zeros(len(self.images), *self.images.shape[2:], dtype=torch.bool)
        with evaluation_mode(model):  # or batch norm would learn from these images
            shapes = model.pyramid(model.backbone(self.images), mask).spatial_shapes
        found: dict[str, list[float]] = {}
        for part, matrices in attention_matrices(model, self.images, mask).items():
            found[f"{part}_entropy"] = [round(normalised_entropy(one).mean().item(), DECIMALS) for one in matrices]
            found[f"{part}_spread"] = [round(spatial_spread(one, shapes).mean().item(), DECIMALS) for one in matrices]
        return found


def _open(paths: dict[str, Path]) -> tuple[CocoDetection, CocoDetection]:
    """Training set, mirrored at random, and validation set; images are kept in memory."""
    mirrored = PlainTransform(flip=True, flip_vertical=True)
    return tuple(
        CocoDetection(paths[f"{split}_images"], paths[f"{split}_annotations"], transform, cache=True)
        for split, transform in (("train", mirrored), ("val", PlainTransform()))
    )


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """The same record with as many digits as mean something."""
    return {name: float(f"{value:.{DECIMALS}g}") if isinstance(value, float) else value for name, value in row.items()}


def _digest(identity: dict[str, Any]) -> str:
    """Eight letters that change with the settings, so that a checkpoint is only found by its own run."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
