"""Does Deformable DETR learn faster than DETR? Both, small, on drawn shapes, with everything else equal.

    run_study(Path("docs/studies/convergence"), Path("runs/studies/convergence"))

| equal                                                        | searched for each model              | differs       |
|--------------------------------------------------------------|--------------------------------------|---------------|
| backbone, feature levels, widths, number of layers and       | the learning rate: a short run for   | the attention |
| queries, data and their order, loss, matching, epochs, seeds | each candidate, judged by its loss   |               |

Both models are the plain ones, with neither box refinement nor a second stage, which DETR does not have. Every run
becomes one JSON file; a file that is there is not computed again, and an unfinished run goes on from its last epoch.
"""

import concurrent.futures
import json
import multiprocessing
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.data.shapes import ShapesConfig
from defdetr_ref.dense import DetrBaseline
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.training import TrainConfig

MODELS: dict[str, type[nn.Module]] = {"deformable": DeformableDETR, "dense": DetrBaseline}
SHOWN = ("AP", "AP50", "AP_small", "AP_medium", "AP_large")  # columns of the table


@dataclass(frozen=True)
class Settings:
    """What all runs of a study share.

    The canvas is easy enough that a small model learns something in minutes, and has objects of all three size
    classes. `focus_images`: on how many validation images the attention is measured.
    """

    canvas: ShapesConfig = ShapesConfig(
        image_size=64, shapes=("circle", "cross"), max_objects=2, min_side=5, max_side=44,
        max_overlap=0, crowd_fraction=0, empty_fraction=0,
    )  # fmt: skip
    train_images: int = 750
    val_images: int = 200
    data_seed: int = 0
    model: dict[str, Any] = field(
        default_factory=lambda: dict(d_model=64, d_ffn=128, encoder_layers=1, decoder_layers=2, num_queries=10)
    )
    batch_size: int = 4  # many small steps learn more in minutes than few large ones
    warmup_steps: int = 100
    epochs: int = 16
    search_epochs: int = 5
    search_seed: int = 100  # of no final run
    rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3, 4e-3)
    seeds: tuple[int, ...] = (0, 1, 2)
    focus_images: int = 16

    def model_config(self) -> DeformableDETRConfig:
        """Of both models: the `tiny` preset without box refinement and second stage."""
        classes = 1 + len(self.canvas.shapes)
        plain = {"num_classes": classes, "box_refine": False, "two_stage": False}
        return DeformableDETRConfig.preset("tiny", **plain, **self.model)

    def shared(self) -> dict[str, Any]:
        """What decides the numbers of a single run; written into its file. The plan (rates, seeds) is no part of it."""
        return {
            "canvas": self.canvas.as_json(),
            "images": {"train": self.train_images, "val": self.val_images, "seed": self.data_seed},
            "model": asdict(self.model_config()),
            "focus_images": self.focus_images,
        }


def quick_settings() -> Settings:
    """A minute only: everything runs, little is learned."""
    return Settings(
        train_images=16, val_images=6, epochs=2, search_epochs=1, rates=(5e-4, 1e-3), seeds=(0, 1), focus_images=3,
        model=dict(d_model=32, d_ffn=32, encoder_layers=1, decoder_layers=2, num_queries=9), warmup_steps=2,
    )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training of one model."""

    stage: str  # "search" or "final"
    model: str  # a key of MODELS
    lr: float
    seed: int
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.model}-lr{self.lr:g}-seed{self.seed}"

    def train_config(self, settings: Settings) -> TrainConfig:
        """The backbone starts from random weights, so everything learns at the full rate."""
        return TrainConfig(
            epochs=self.epochs,
            batch_size=settings.batch_size,
            lr=self.lr,
            backbone_lr_factor=1.0,
            lr_slow_factor=1.0,
            clip_norm=1.0,
            schedule="cosine",
            warmup_steps=settings.warmup_steps,
            seed=self.seed,
        )


def search_runs(settings: Settings) -> list[Run]:
    """Every candidate rate for every model, in a short run."""
    return [
        Run("search", model, lr, settings.search_seed, settings.search_epochs)
        for lr in settings.rates
        for model in MODELS
    ]


def final_runs(settings: Settings, rates: dict[str, float]) -> list[Run]:
    """Every seed for every model, at that model's own rate."""
    return [Run("final", model, rates[model], seed, settings.epochs) for seed in settings.seeds for model in MODELS]


def best_rates(results: Iterable[dict[str, Any]]) -> dict[str, float]:
    """For every model the rate whose search run ended with the lowest training loss.

    Not with the highest AP, which is nearly zero for all rates as long as a model has learned little.
    """
    best: dict[str, tuple[float, float]] = {}
    for result in results:
        if result["run"]["stage"] == "search":
            model, found = result["run"]["model"], (result["epochs"][-1]["total"], result["run"]["lr"])
            best[model] = min(best.get(model, found), found)
    return {model: lr for model, (_, lr) in best.items()}


def read_runs(folder: str | Path) -> list[dict[str, Any]]:
    """The content of every run's file in `folder`, by name. Raises FileNotFoundError if there is none."""
    files = sorted(Path(folder).glob("*-lr*-seed*.json"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no finished run; make some with: defdetr study convergence")
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def run_study(out: Path, work: Path, settings: Settings = Settings(), *, jobs: int = 1) -> list[dict[str, Any]]:
    """Search both learning rates, then train both models with every seed; returns all runs' contents.

    out: for the JSON files. work: for the data set and for checkpoints of unfinished runs. jobs: runs at a time.
    Raises ValueError for fewer than one job, and if `out` holds results of other settings.
    """
    if jobs < 1:
        raise ValueError(f"study convergence: jobs is {jobs}, but must be at least 1")
    searched = _run_all(search_runs(settings), settings, out, work, jobs)
    rates = best_rates(searched)
    print("learning rates:", ", ".join(f"{model} {lr:g}" for model, lr in rates.items()), flush=True)
    return searched + _run_all(final_runs(settings, rates), settings, out, work, jobs)


def table(results: Iterable[dict[str, Any]]) -> str:
    """The last epoch of every final run, in per cent, and each model's mean."""
    lines = [f"{'model':<12}{'rate':>8}{'seed':>6}" + "".join(f"{name:>11}" for name in SHOWN)]
    for model in MODELS:
        runs = [one for one in results if one["run"]["stage"] == "final" and one["run"]["model"] == model]
        rows = [[100 * (one["epochs"][-1][name] or 0.0) for name in SHOWN] for one in runs]
        for one, row in zip(runs, rows, strict=True):
            lines.append(f"{model:<12}{one['run']['lr']:>8g}{one['run']['seed']:>6}" + _cells(row))
        lines.append(
            f"{model:<12}{'':>8}{'mean':>6}" + _cells([sum(column) / len(column) for column in zip(*rows, strict=True)])
        )
    return "\n".join(lines)


def _cells(row: Sequence[float]) -> str:
    return "".join(f"{value:>11.1f}" for value in row)


def _run_all(runs: Sequence[Run], settings: Settings, out: Path, work: Path, jobs: int) -> list[dict[str, Any]]:
    """The contents of all runs, in order; `jobs` of them at a time, each in a process of its own if more than one."""
    from defdetr_ref.studies.one_run import do_run, draw_data  # which imports this module

    draw_data(settings, work)
    if jobs == 1:
        return [_told(do_run(run, settings, out, work)) for run in runs]
    threads = max(1, torch.get_num_threads() // jobs)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, torch.set_num_threads, (threads,)) as pool:
        waiting = [pool.submit(do_run, run, settings, out, work) for run in runs]
        try:
            return [_told(future.result()) for future in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _told(result: dict[str, Any]) -> dict[str, Any]:
    """The same result, after a line for the terminal."""
    run, seconds = result["run"], result["seconds"]["cpu_seconds"]
    ap = 100 * (result["epochs"][-1]["AP"] or 0.0)
    print(f"{run['stage']} {run['model']}, rate {run['lr']:g}, seed {run['seed']}: AP {ap:.1f}, {seconds:.0f} s of CPU",
          flush=True)  # fmt: skip
    return result
