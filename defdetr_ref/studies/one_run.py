"""One run of a study: draw, train, measure, write."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.explain.matrices import attention_matrices, normalised_entropy, spatial_spread
from defdetr_ref.inference import evaluation_mode
from defdetr_ref.provenance import machine, versions
from defdetr_ref.studies.pictures import TURNS, NumberedImages, Pictures, draw_pictures, store_features
from defdetr_ref.studies.plan import Run, Settings, as_record
from defdetr_ref.studies.pretraining import STRIDES, pretrain
from defdetr_ref.studies.results import as_json, finished, write_json
from defdetr_ref.studies.variants import VARIANTS
from defdetr_ref.training import train

DECIMALS = 5  # of what the files hold; more would be noise
VAL_SEED_OFFSET = 1  # so that no validation image is a training image


class StudyData:
    """Images and stored features of one canvas, from `work`, where they are made once.

    train, val: the pictures. maps: stride → features of all numbered images, read from the disk as they are needed.
    """

    def __init__(self, settings: Settings, work: Path) -> None:
        self.train = draw_pictures(settings.canvas, settings.train_images, settings.data_seed)
        self.val = draw_pictures(settings.canvas, settings.val_images, settings.data_seed + VAL_SEED_OFFSET)
        identity = settings.shared()
        digest = _digest({name: identity[name] for name in ("canvas", "backbone", "images")})
        paths = {stride: work / f"features-{digest}-stride{stride}.pt" for stride in STRIDES}
        if not all(path.exists() for path in paths.values()):
            work.mkdir(parents=True, exist_ok=True)
            backbone = pretrain(
                settings.backbone_canvas, steps=settings.backbone_steps, images=settings.backbone_images
            )
            store_features(backbone, self.train, self.val, paths.__getitem__, STRIDES)
        self.maps = {stride: torch.load(path, mmap=True, weights_only=True) for stride, path in paths.items()}

    def sets(self, seed: int) -> tuple[NumberedImages, NumberedImages]:
        """Training images, turned by `seed`, and validation images."""
        first_val = TURNS * len(self.train.targets)
        return NumberedImages(self.train, 0, seed), NumberedImages(self.val, first_val)


def do_run(
    run: Run, settings: Settings, out: Path, work: Path, data: Callable[[], StudyData] | None = None
) -> dict[str, Any]:
    """The content of the run's file; trained, or gone on with, if it is not there yet.

    run: what to train. settings: of the study. out: the folder of the results. work: for checkpoints and data.
    data: gives the study's, called if something has to be trained; None makes it.
    """
    path = out / f"{run.name}.json"
    config = run.train_config(settings)
    identity = {"run": as_record(run), "train": config.identity(), "settings": settings.shared()}
    if finished(path, identity):
        return json.loads(path.read_text(encoding="utf-8"))
    study = data() if data is not None else StudyData(settings, work)
    train_set, val_set = study.sets(run.seed)
    model = new_model(run, settings, study)
    measure = Measurement(torch.stack([val_set[index][0] for index in range(settings.focus_images)]))
    untrained = {"epoch": 0, **measure(model)}
    folder = work / f"{run.name}-{_digest(identity)}"
    options = {"val_set": val_set, "resume": (folder / "config.json").exists(), "progress": False, "measure": measure}
    loss = VARIANTS[run.model].loss(model.config.num_classes)
    rows = train(model, train_set, folder, config, loss=loss, **options)["metrics"]
    epochs = [untrained, *map(_shortened, rows)]
    content = as_json({
        **identity,
        "objects": count_sizes(study.val),
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


def new_model(run: Run, settings: Settings, data: StudyData) -> nn.Module:
    """The run's model with the first weights of its seed."""
    torch.manual_seed(run.seed)
    return VARIANTS[run.model].build(data.maps, settings.model_fields())


def count_sizes(pictures: Pictures) -> dict[str, int]:
    """How many objects each size class has."""
    limits = pictures.coco["info"]["size_classes"]
    areas = [record["area"] for record in pictures.coco["annotations"]]
    return {name: sum(low <= area < high for area in areas) for name, (low, high) in limits.items()}


class Measurement:
    """Where attention goes: what a run notes after every epoch beside loss and AP.

    images: (N, 3, H, W), always the same ones.
    """

    def __init__(self, images: Float[Tensor, "batch 3 height width"]):
        self.images = images

    def __call__(self, model: nn.Module) -> dict[str, list[float]]:
        """Mean entropy and spread over images, heads and queries: for each part a list with a number for each layer."""
        mask = torch.zeros(len(self.images), *self.images.shape[2:], dtype=torch.bool)
        with evaluation_mode(model):
            shapes = model.pyramid(model.backbone(self.images), mask).spatial_shapes
        found: dict[str, list[float]] = {}
        for part, matrices in attention_matrices(model, self.images, mask).items():
            found[f"{part}_entropy"] = [round(normalised_entropy(one).mean().item(), DECIMALS) for one in matrices]
            found[f"{part}_spread"] = [round(spatial_spread(one, shapes).mean().item(), DECIMALS) for one in matrices]
        return found


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    """The same record without the single terms of the loss, and with as many digits as mean something."""
    return {
        name: float(f"{value:.{DECIMALS}g}") if isinstance(value, float) else value
        for name, value in row.items()
        if not name.startswith("loss_")
    }


def _digest(identity: dict[str, Any]) -> str:
    """Eight letters that change with the settings, so that what is unfinished is only found by its own run."""
    return hashlib.sha256(json.dumps(as_json(identity), sort_keys=True).encode()).hexdigest()[:8]
