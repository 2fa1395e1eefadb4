"""Does Deformable DETR learn in a tenth of DETR's epochs? Both, small, on drawn shapes, with everything else equal.

    run_study(Path("docs/studies/convergence"), Path("runs/studies"))

| equal                                                     | searched for each model             | differs            |
|-----------------------------------------------------------|-------------------------------------|--------------------|
| a backbone trained before, which does not learn; widths,  | the rate: for each candidate two    | the attention, and |
| number of layers and queries, data and their order, loss, | runs without a drop, judged by the  | the levels that it |
| matching, optimiser, batch, when the rate drops           | worse one's AP                      | can afford         |

Both models are the plain ones, with neither box refinement nor a second stage, which DETR does not have. Deformable
DETR has E epochs, DETR ten times as many, at stride 16 and at stride 8. Two canvases, each in a folder of its own.
Every run becomes one JSON file; a file that is there is not computed again, and an unfinished run goes on from its
last epoch.
"""

import concurrent.futures
import functools
import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from defdetr_ref.studies.analysis import by_seed, last_per_cent
from defdetr_ref.studies.one_run import StudyData, do_run
from defdetr_ref.studies.plan import (
    MODELS,
    Run,
    Settings,
    best_rates,
    final_runs,
    search_runs,
    small_canvas_settings,
)
from defdetr_ref.studies.variants import VARIANTS

SHOWN = ("AP", "AP50", "AP_small", "AP_medium", "AP_large")  # columns of the table
CANVASES: dict[str, Callable[[], Settings]] = {"96px": Settings, "64px": small_canvas_settings}
MAIN_PAIR = ("deformable", "detr-16")


def read_runs(folder: str | Path) -> list[dict[str, Any]]:
    """The content of every run's file in `folder`, by name. Raises FileNotFoundError if there is none."""
    files = sorted(Path(folder).glob("*-lr*-seed*.json"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no finished run; make some with: defdetr study convergence")
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def run_study(
    out: Path, work: Path, canvases: dict[str, Settings] | None = None, *, jobs: int = 1
) -> dict[str, list[dict[str, Any]]]:
    """Search the learning rates on the first canvas, then train every model with every seed on each of them.

    out: for the JSON files, a folder for each canvas. work: for stored features and checkpoints of unfinished runs.
    canvases: name → settings; CANVASES by default. jobs: runs at a time.

    Returns all runs' contents, by canvas. The main pair comes first. Raises ValueError for fewer than one job, and if
    `out` holds results of other settings.
    """
    canvases = canvases or {name: settings() for name, settings in CANVASES.items()}
    (first, settings), *others = canvases.items()
    done: dict[str, list[dict[str, Any]]] = {name: [] for name in canvases}
    rest = tuple(model for model in MODELS if model not in MAIN_PAIR)
    rates: dict[str, float] = {}
    for models in (MAIN_PAIR, rest):
        searched = search(models, settings, out / first, work, jobs=jobs)
        found = best_rates(searched)
        print("learning rates:", ", ".join(f"{model} {lr:g}" for model, lr in found.items()), flush=True)
        rates |= found
        done[first] += searched + run_all(final_runs(settings, found), settings, out / first, work, jobs)
    for name, settings in others:
        done[name] += run_all(final_runs(settings, rates), settings, out / name, work, jobs)
    return done


def search(models: Sequence[str], settings: Settings, out: Path, work: Path, *, jobs: int = 1) -> list[dict[str, Any]]:
    """The contents of all search runs of `models`; the other arguments as in `run_all`."""
    return run_all(search_runs(settings, models), settings, out, work, jobs)


def run_all(runs: Sequence[Run], settings: Settings, out: Path, work: Path, jobs: int) -> list[dict[str, Any]]:
    """The contents of all runs, in order; `jobs` of them at a time, each in a process of its own if more than one.

    runs: what to train. settings: of the study. out: for the JSON files. work: for data and checkpoints. jobs: at
    least 1. Raises ValueError otherwise.
    """
    if jobs < 1:
        raise ValueError(f"study: jobs is {jobs}, but must be at least 1")
    if jobs == 1:
        data = functools.cache(lambda: StudyData(settings, work))  # not drawn if every file is there
        return [_report(do_run(run, settings, out, work, data)) for run in runs]
    threads = max(1, torch.get_num_threads() // jobs)
    StudyData(settings, work)  # so that not every process makes the features
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, torch.set_num_threads, (threads,)) as pool:
        waiting = [pool.submit(do_run, run, settings, out, work) for run in runs]
        try:
            return [_report(future.result()) for future in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def table(results: Iterable[dict[str, Any]]) -> str:
    """The last epoch of every final run, in per cent, and each model's mean."""
    lines = [f"{'model':<34}{'epochs':>7}{'rate':>8}{'seed':>6}" + "".join(f"{name:>11}" for name in SHOWN)]
    results = list(results)
    for model, variant in VARIANTS.items():
        runs = list(by_seed(results, model).values())
        rows = [[last_per_cent(one, name) for name in SHOWN] for one in runs]
        for one, row in zip(runs, rows, strict=True):
            run = one["run"]
            lines.append(f"{variant.label:<34}{run['epochs']:>7}{run['lr']:>8g}{run['seed']:>6}" + _cells(row))
        if runs:
            means = [sum(column) / len(column) for column in zip(*rows, strict=True)]
            lines.append(f"{variant.label:<34}{'':>15}{'mean':>6}" + _cells(means))
    return "\n".join(lines)


def _cells(row: Sequence[float]) -> str:
    return "".join(f"{value:>11.1f}" for value in row)


def _report(result: dict[str, Any]) -> dict[str, Any]:
    """The same result, after a line for the terminal."""
    run, seconds = result["run"], result["seconds"]["cpu_seconds"]
    found = f"AP {last_per_cent(result):.1f}, {seconds:.0f} s of CPU"
    print(f"{run['stage']} {run['model']}, rate {run['lr']:g}, seed {run['seed']}: {found}", flush=True)
    return result
