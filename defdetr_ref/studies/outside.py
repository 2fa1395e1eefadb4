"""Does another choice of points or levels read less outside the image, and does it detect better?

    run_study(Path("docs/studies/outside"), Path("runs/studies"))

Most of zoo:shapes' attention in the encoder falls outside the image, where zeros are read. Each run here is
zoo:shapes, one choice changed, trained for a twelfth of its epochs. Each run becomes one JSON file.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from defdetr_ref import checkpoints
from defdetr_ref.data.drawn_sets import DRAWN_SETS
from defdetr_ref.provenance import machine, versions
from defdetr_ref.studies.results import as_json, finished, write_json
from defdetr_ref.training import TrainConfig, train
from defdetr_ref.training.run_folder import RunFolder
from defdetr_ref.zoo.recipes import IMAGES_PER_EPOCH, RECIPES, schedule
from defdetr_ref.zoo.training import VALIDATION, held_out, share_outside

METRICS = ("AP", "AP_small", "AP_medium", "AP_large")


@torch.no_grad()
def star_of_one_size(model: nn.Module) -> None:
    """The encoder's star begins with arms of the same length in the image on every level, that of the finest.

    As published they are 1 to K pixels of their level: on the coarsest as far as the border of a small image. In the
    decoder of two stages, points are counted in sizes of a box, so they are the same on every level already.
    """
    for layer in model.encoder.layers:
        attention = layer.attention
        star = attention.sampling_offsets.bias.view(attention.num_heads, attention.num_levels, attention.num_points, 2)
        star /= 2.0 ** torch.arange(attention.num_levels)[:, None, None]


@dataclass(frozen=True)
class Choice:
    """What one run changes in zoo:shapes.

    label: what the table says.
    model: fields of the config that differ from the recipe's.
    change: done to the new model.
    """

    label: str
    model: dict[str, Any] = field(default_factory=dict)
    change: Callable[[nn.Module], None] = lambda model: None


CHOICES = {
    "as-shipped": Choice("as shipped: K = 4, strides 8, 16, 32"),
    "two-points": Choice("K = 2", {"num_points": 2}),
    "finer-levels": Choice("strides 4, 8, 16", {"feature_strides": (4, 8)}),
    "equal-stars": Choice("the star as long on every level", change=star_of_one_size),
}


@dataclass(frozen=True)
class Settings:
    """What all runs share.

    train: how they are trained, but for the seed.
    images: new ones in each epoch.
    model: fields of all configs, beside the recipe's.
    test: images and seed of the set that they are judged on; the same that zoo:shapes looks at while it trains.
    seeds: of every choice.
    """

    train: TrainConfig = field(default_factory=lambda: schedule(6, eval_every=6))
    images: int = IMAGES_PER_EPOCH
    model: dict[str, Any] = field(default_factory=dict)
    test: dict[str, int] = field(default_factory=lambda: dict(VALIDATION))
    seeds: tuple[int, ...] = (1, 2)

    def shared(self) -> dict[str, Any]:
        """What decides a run's numbers beside its choice and seed; written into its file."""
        train = {name: value for name, value in self.train.identity().items() if name != "seed"}
        return {"train": train, "images": self.images, "model": self.model, "test": self.test}


def quick_settings() -> Settings:
    """Seconds only: everything runs, nothing is learned."""
    small = {"d_model": 32, "d_ffn": 16, "num_queries": 7, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1}
    return Settings(TrainConfig(epochs=1, batch_size=4), 8, small, {"images": 5, "seed": 1}, (1,))


def do_run(name: str, seed: int, settings: Settings, out: Path, work: Path) -> dict[str, Any]:
    """The content of a run's file; trained, or gone on with, if it is not there yet.

    name: a key of CHOICES.
    seed: of first weights, images and their order.
    settings: of all runs.
    out: the folder of the results.
    work: for images and unfinished runs.
    """
    choice, path = CHOICES[name], out / f"{name}-seed{seed}.json"
    identity = {"name": name, "seed": seed, "settings": settings.shared()}
    if finished(path, identity):
        return json.loads(path.read_text(encoding="utf-8"))
    recipe = RECIPES["shapes"]
    recipe = replace(
        recipe,
        train=replace(settings.train, seed=seed),
        model={**recipe.model, **settings.model, **choice.model},
    )
    model, run = recipe.new_model(), RunFolder(work / path.stem)
    choice.change(model)
    test_set = held_out(recipe.data, work, **settings.test)
    train(
        model,
        DRAWN_SETS[recipe.data].training_images(images=settings.images, seed=seed),
        run.folder,
        recipe.train,
        val_set=test_set,
        resume=run.config.exists(),
        progress=False,
    )
    records, (averaged, _) = run.read_metrics(), checkpoints.read_model(run.last)
    content = as_json({
        **identity,
        "config": asdict(model.config),
        "metrics": {metric: records[-1][metric] for metric in METRICS},
        "outside": share_outside(averaged, test_set),
        "seconds": round(sum(row["seconds"] for row in records)),
        "machine": machine(),
        "versions": versions(),
    })  # fmt: skip
    write_json(path, content)
    shutil.rmtree(run.folder)
    return content


def run_study(out: Path, work: Path, settings: Settings | None = None) -> list[dict[str, Any]]:
    """Every choice with every seed, seed by seed; returns the runs' contents.

    out: for the JSON files.
    work: for images and unfinished runs.
    settings: of all runs.

    Raises ValueError if `out` holds results of other settings.
    """
    settings = settings or Settings()
    return [do_run(name, seed, settings, out, work) for seed in settings.seeds for name in CHOICES]


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """All runs of a folder of results."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def table(runs: list[dict[str, Any]]) -> str:
    """A line for each choice: the seeds' AP, their means by size, and the share of attention weight outside."""
    lines = [f"{'choice':<38}{'AP by seed':<14}{'small':>7}{'medium':>8}{'large':>7}   outside, encoder's layers"]
    for name, choice in CHOICES.items():
        mine = sorted((run for run in runs if run["name"] == name), key=lambda run: run["seed"])
        if mine:
            by_seed = ", ".join(f"{100 * run['metrics']['AP']:.1f}" for run in mine)
            sizes = [_mean_per_cent([run["metrics"][metric] for run in mine]) for metric in METRICS[1:]]
            outside = np.mean([run["outside"]["encoder"] for run in mine], axis=0)
            shares = ", ".join(f"{share:.0%}" for share in outside)
            lines.append(f"{choice.label:<38}{by_seed:<14}{sizes[0]:>7}{sizes[1]:>8}{sizes[2]:>7}   {shares}")
    return "\n".join(lines)


def _mean_per_cent(values: list[float | None]) -> str:
    """Of those that are there: a set without objects of a size has no AP for it."""
    there = [100 * value for value in values if value is not None]
    return f"{np.mean(there):.1f}" if there else "–"
