"""Making a detector of the zoo: train it, judge it on images that nobody trained on, write its weights and its card."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from defdetr_ref import checkpoints
from defdetr_ref.attention import DeformableSampling
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.drawn_sets import DRAWN_SETS
from defdetr_ref.evaluation import evaluate, jsonable
from defdetr_ref.explain.recording import record, weight_outside
from defdetr_ref.provenance import machine, versions
from defdetr_ref.training import train
from defdetr_ref.training.run_folder import RunFolder
from defdetr_ref.weight_files.writing import replacing
from defdetr_ref.zoo.recipes import RECIPES, Recipe

VALIDATION = {"images": 300, "seed": 1}  # looked at while settings were chosen and while a detector trains
SHIPPED_NOTES = ("categories", "resize", "image_size", "epoch")  # of what a run keeps beside its weights
LOOKED_AT = 100  # test images on which the attention is measured
TEST = {"images": 500, "seed": 1000}  # looked at once, for the card


def train_detector(name: str, folder: Path, *, progress: bool = True) -> Path:
    """Train the detector called `name`, or go on with it, and `publish` it; returns the path of its weights.

    name: a key of RECIPES.
    folder: gets a folder of the run and one for images, and at the end NAME.safetensors and NAME.json.
    progress: show a bar and a line for each epoch.

    Raises ValueError for an unknown name, and if the folder holds a run with other settings.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe for {name!r}; choose from {', '.join(RECIPES)}")
    recipe, run = RECIPES[name], RunFolder(folder / name)
    train(
        recipe.new_model(),
        recipe.train_set(),
        run.folder,
        recipe.train,
        val_set=held_out(recipe.data, folder, **VALIDATION),
        resume=run.config.exists(),
        progress=progress,
        keep_epochs=recipe.kept_epochs,
    )
    return publish(name, recipe, folder, progress=progress)


def held_out(data: str, folder: Path, *, images: int, seed: int) -> CocoDetection:
    """Images of the validation split of a drawn set, drawn into `folder` unless they are there.

    data: a key of DRAWN_SETS.
    folder: they go into images/ inside it.
    images: how many; fewer are the first of more.
    seed: of the set.
    """
    name = f"{data}-{seed}-{images}"
    paths = DRAWN_SETS[data].write(folder / "images" / name, train=1, val=images, seed=seed, progress=False)
    return CocoDetection(paths["val_images"], paths["val_annotations"], cache=True)


def publish(name: str, recipe: Recipe, folder: Path, *, progress: bool = True) -> Path:
    """Write what ships: weights in half precision, those of kept epochs in eight bits, and the card.

    What is judged is what ships: the weights as they are read from the files.

    name: what the files are called.
    recipe: by which it was trained.
    folder: holds the folder of the run, and gets the files.
    progress: show a bar while judging.
    """
    test_set = held_out(recipe.data, folder, **TEST)
    run = RunFolder(folder / name)
    records, (last, notes) = run.read_metrics(), checkpoints.read_model(run.last)

    def ship(model: nn.Module, notes: dict[str, Any], target: str, dtype: torch.dtype) -> dict[str, Any]:
        path = folder / f"{target}.safetensors"
        shipped = {name: notes[name] for name in SHIPPED_NOTES if name in notes}
        checkpoints.save_safetensors(path, model, dtype=dtype, **shipped)
        metrics = jsonable(evaluate(checkpoints.build_model(path), test_set, progress=progress))
        return {"metrics": metrics, "bytes": path.stat().st_size, "stored": str(dtype).removeprefix("torch.")}

    content = {
        "name": name,
        "summary": recipe.summary,
        "command": f"defdetr zoo train {name}",
        "data": recipe.data,
        "test": TEST,
        **ship(last, notes, name, torch.float16),
        "outside": share_outside(last, test_set),
        "epochs": {
            str(epoch): ship(*checkpoints.read_model(run.kept(epoch)), f"{name}-epoch-{epoch}", torch.int8)
            for epoch in recipe.kept_epochs
        },
        "parameters": sum(one.numel() for one in last.parameters()),
        "steps": len(records) * (len(recipe.train_set()) // recipe.train.batch_size),
        "seconds": round(sum(record["seconds"] for record in records)),
        "seed": recipe.train.seed,
        "model_class": recipe.model_class,
        "model": dataclasses.asdict(last.config),
        "train": recipe.train.identity(),
        "machine": machine(),
        "versions": versions(),
    }
    card = (json.dumps(content, indent=2) + "\n").encode("utf-8")
    with replacing(folder / f"{name}.json", len(card)) as file:
        file.write(card)
    return folder / f"{name}.safetensors"


def share_outside(model: nn.Module, dataset: CocoDetection) -> dict[str, list[float]]:
    """For each part and layer of a deformable detector, the share of attention weight that reads outside the image.

    Measured on the first LOOKED_AT images; empty for dense attention, which has no points.
    """
    if not any(isinstance(module, DeformableSampling) for module in model.modules()):
        return {}
    images = torch.stack([dataset[index][0] for index in range(min(LOOKED_AT, len(dataset)))])
    with record(model) as recording, torch.no_grad():
        model(images)
    shares: dict[str, list[float]] = {}
    for one in recording[-1].records:
        shares.setdefault(one.part, []).append(round(weight_outside(one).sum().item(), 3))
    return shares
