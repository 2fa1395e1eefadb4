"""Short runs of a small detector, healthy and with each bug; all that differs between two of them is bug and seed."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from defdetr_ref import zoo
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.data.coco import collate
from defdetr_ref.debugging.bugs import BUGS, planted
from defdetr_ref.debugging.images import SizedShapes
from defdetr_ref.debugging.symptoms import Attention, WatchedLoss, judge, picture, rounded
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.losses import DetectionLoss
from defdetr_ref.provenance import machine, versions
from defdetr_ref.studies.results import as_json, finished, write_json
from defdetr_ref.training import TrainConfig, train, trainer

NOTED = ("epoch", "AP", "AP50", "AP_small", "AP_medium", "AP_large", "total", "outside", "levels")  # of each epoch


@dataclass(frozen=True)
class Settings:
    """What all runs share, before a bug is planted.

    model: fields of the config, on top of the preset `compact`; the backbone is zoo:shapes', and does not learn.
    train: how it is trained, but for the seed.
    train_images, val_images, data_seed: drawn; validation images have the next seed.
    looked_at: so many validation images make the padded batch in which attention is looked at.
    shown: the one of them whose picture is kept.
    seeds: of the healthy runs; bugs are planted into the first.
    """

    model: dict[str, Any] = field(
        default_factory=lambda: dict(
            num_classes=6, d_model=64, d_ffn=128, num_queries=20, encoder_layers=1, decoder_layers=3, two_stage=False
        )
    )
    train: TrainConfig = TrainConfig(epochs=6, batch_size=16, lr=2e-3, warmup_steps=50)
    train_images: int = 800
    val_images: int = 150
    data_seed: int = 41
    looked_at: int = 16
    shown: int = 1
    seeds: tuple[int, ...] = (1, 2, 3)

    def shared(self) -> dict[str, Any]:
        """What decides a run's numbers beside its seed and bug; written into its file."""
        content = asdict(self)
        del content["seeds"]
        return {**content, "train": self.train.identity()}


def quick_settings() -> Settings:
    """Seconds only: everything runs, nothing is learned."""
    small = Settings().model | {"d_model": 32, "d_ffn": 16, "num_queries": 7, "num_heads": 2}
    train = TrainConfig(epochs=1, batch_size=4, lr=2e-3)
    return Settings(model=small, train=train, train_images=8, val_images=5, looked_at=3, seeds=(1,))


class Frozen(nn.Module):
    """A trained backbone that does not learn, and whose batch norms stay as they are while the rest trains."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.channels = backbone.requires_grad_(False), backbone.channels

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.backbone(images)

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(False)


def new_model(settings: Settings, seed: int) -> DeformableDETR:
    """With the first weights of `seed`, behind the backbone of zoo:shapes."""
    torch.manual_seed(seed)
    model = DeformableDETR(DeformableDETRConfig.preset("compact", **settings.model))
    model.backbone = Frozen(zoo.load("shapes").backbone)
    return model


def do_run(
    name: str,
    settings: Settings,
    out: Path,
    work: Path,
    *,
    seed: int,
    bug: str | None = None,
    data: Callable[[], tuple[SizedShapes, SizedShapes]] | None = None,
) -> dict[str, Any]:
    """The content of a run's file; trained if it is not there yet.

    name: of the file, without its ending; the bug is not named in it.
    settings: of all runs.
    out: the folder of the results.
    work: for checkpoints.
    seed: of first weights and order.
    bug: a key of BUGS; None for a healthy run.
    data: gives images to train on and to judge by; None draws them.
    """
    path, identity = out / f"{name}.json", {"name": name, "seed": seed, "settings": settings.shared()}
    if finished(path, identity):
        return json.loads(path.read_text(encoding="utf-8"))
    train_set, val_set = (data or (lambda: draw_images(settings)))()
    start, folder = time.process_time(), work / name
    shutil.rmtree(folder, ignore_errors=True)  # an unfinished run begins anew: what it noted is lost
    with planted(bug):
        model = new_model(settings, seed)
        loss = WatchedLoss(DetectionLoss(model.config.num_classes), model)
        looks = Attention(val_set, settings.looked_at)
        untrained = {"epoch": 0, **looks(model)}
        config = replace(settings.train, seed=seed)
        options = {"val_set": val_set, "loss": loss, "measure": looks, "progress": False}
        rows = train(model, train_set, folder, config, **options)["metrics"]
        content = as_json({
            **identity,
            "steps": loss.rows(),
            "epochs": [untrained, *(rounded({key: row[key] for key in NOTED}) for row in rows)],
            "judged": judge(model, val_set, loss.loss, settings.train.batch_size),
            "picture": picture(model, val_set, settings.looked_at, settings.shown),
            "cpu_seconds": round(time.process_time() - start),
            "machine": machine(),
            "versions": versions(),
        })  # fmt: skip
    write_json(path, content)
    shutil.rmtree(folder)
    return content


def overfit(settings: Settings, steps: int, *, seed: int, images: int) -> dict[str, Any]:
    """Steps on always the same few images: loss and gradients as `WatchedLoss.rows` gives them.

    settings: of the model, its training and the images.
    steps: how many.
    seed: of the first weights.
    images: so many, all in one batch.
    """
    model = new_model(settings, seed)
    loss = WatchedLoss(DetectionLoss(model.config.num_classes), model)
    optimizer = torch.optim.AdamW(
        trainer.parameter_groups(model, settings.train), weight_decay=settings.train.weight_decay
    )
    pixels, mask, targets = collate(list(SizedShapes(images, settings.data_seed)))
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(pixels, mask), targets)["total"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.train.clip_norm)
        optimizer.step()
    return loss.rows()


def draw_images(settings: Settings) -> tuple[SizedShapes, SizedShapes]:
    """Images to train on, and to judge by."""
    return (
        SizedShapes(settings.train_images, settings.data_seed),
        SizedShapes(settings.val_images, settings.data_seed + 1),
    )


def run_study(out: Path, work: Path, settings: Settings | None = None) -> dict[str, dict[str, Any]]:
    """Healthy runs with every seed, then a run with each bug; each becomes a file. Returns name → content.

    out: for the JSON files. work: for checkpoints. settings: of all runs. Raises ValueError if `out` holds results of
    other settings.
    """
    settings = settings or Settings()
    data = cache(lambda: draw_images(settings))
    runs = {f"healthy-{seed}": (seed, None) for seed in settings.seeds}
    runs |= {f"case-{bug.case}": (settings.seeds[0], name) for name, bug in BUGS.items()}
    return {
        name: do_run(name, settings, out, work, seed=seed, bug=bug, data=data) for name, (seed, bug) in runs.items()
    }
