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
from pathlib import Path
from typing import Any

import torch

from defdetr_ref.studies.one_run import do_run, draw_data
from defdetr_ref.studies.plan import MODELS, Run, Settings, best_rates, final_runs, search_runs

SHOWN = ("AP", "AP50", "AP_small", "AP_medium", "AP_large")  # columns of the table


def read_runs(folder: str | Path) -> list[dict[str, Any]]:
    """The content of every run's file in `folder`, by name. Raises FileNotFoundError if there is none."""
    files = sorted(Path(folder).glob("*-lr*-seed*.json"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no finished run; make some with: defdetr study convergence")
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def run_study(out: Path, work: Path, settings: Settings | None = None, *, jobs: int = 1) -> list[dict[str, Any]]:
    """Search both learning rates, then train both models with every seed; returns all runs' contents.

    out: for the JSON files. work: for the data set and for checkpoints of unfinished runs. jobs: runs at a time.
    Raises ValueError for fewer than one job, and if `out` holds results of other settings.
    """
    settings = settings or Settings()
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
    draw_data(settings, work)
    if jobs == 1:
        return [_report(do_run(run, settings, out, work)) for run in runs]
    threads = max(1, torch.get_num_threads() // jobs)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, torch.set_num_threads, (threads,)) as pool:
        waiting = [pool.submit(do_run, run, settings, out, work) for run in runs]
        try:
            return [_report(future.result()) for future in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _report(result: dict[str, Any]) -> dict[str, Any]:
    """The same result, after a line for the terminal."""
    run, seconds = result["run"], result["seconds"]["cpu_seconds"]
    ap = 100 * (result["epochs"][-1]["AP"] or 0.0)
    print(f"{run['stage']} {run['model']}, rate {run['lr']:g}, seed {run['seed']}: AP {ap:.1f}, {seconds:.0f} s of CPU",
          flush=True)  # fmt: skip
    return result
