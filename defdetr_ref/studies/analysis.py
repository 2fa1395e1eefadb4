"""What the curves of the convergence study say: how many times as fast, and how sure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from defdetr_ref.studies.variants import VARIANTS

RESAMPLES, BOOTSTRAP_SEED = 10_000, 0
LEVEL = 0.95
PER_CENT = 100
AXES = ("epoch", "cpu_seconds")  # epochs are images seen, divided by the number of training images

Runs = Iterable[Mapping[str, Any]]


class Factor(NamedTuple):
    """How many times as much DETR needs as Deformable DETR until both have the AP that DETR ends up with.

    pairs: for each pair of runs with equal seeds; 0 where Deformable DETR never gets there in its own budget.
    low, high: bootstrap interval of the median, at LEVEL.
    """

    pairs: dict[int, float]
    low: float
    high: float

    @property
    def median(self) -> float:
        return float(np.median(list(self.pairs.values())))


def curve(run: Mapping[str, Any], name: str = "AP", axis: str = "epoch") -> tuple[np.ndarray, np.ndarray]:
    """Where a run was evaluated, on `axis` (of AXES), and `name` there; both (evaluations,)."""
    spent, places, values = 0.0, [], []
    for row in run["epochs"][1:]:
        spent += row["cpu_seconds"]
        if row.get(name) is not None:
            places.append(row["epoch"] if axis == "epoch" else spent)
            values.append(row[name])
    return np.array(places, dtype=float), np.array(values)


def first_reaching(places: np.ndarray, values: np.ndarray, goal: float) -> float:
    """The first of `places` whose value is at least `goal`; infinity if there is none."""
    reached = values >= goal
    return float(places[reached.argmax()]) if reached.any() else np.inf


def by_seed(runs: Runs, model: str) -> dict[int, Mapping[str, Any]]:
    """The final runs of one model."""
    return {one["run"]["seed"]: one for one in runs if one["run"]["model"] == model and one["run"]["stage"] == "final"}


def last_per_cent(run: Mapping[str, Any], name: str = "AP") -> float:
    """`name` after a run's last epoch, in per cent; 0 where it is not defined."""
    return PER_CENT * (run["epochs"][-1][name] or 0.0)


def convergence_factor(
    runs: Runs, slow: str = "detr-16", fast: str = "deformable", name: str = "AP", axis: str = "epoch"
) -> Factor:
    """How much longer `slow` needs than `fast` for the best `name` that it has in its whole budget, by pairs of seeds.

    runs: of one canvas. slow, fast: keys of VARIANTS. name: a metric. axis: one of AXES.

    The interval resamples slow and fast runs independently of one another, since equal seeds share only first weights
    and order. Raises ValueError if no seed was run with both.
    """
    runs = list(runs)
    slow_runs, fast_runs = by_seed(runs, slow), by_seed(runs, fast)
    seeds = sorted(slow_runs.keys() & fast_runs.keys())
    if not seeds:
        raise ValueError(f"no seed was run with both {VARIANTS[slow].label} and {VARIANTS[fast].label}")
    goals = {seed: curve(slow_runs[seed], name, axis) for seed in seeds}
    curves = {seed: curve(fast_runs[seed], name, axis) for seed in seeds}
    factors = np.array([[_factor(goals[one], curves[other]) for other in seeds] for one in seeds])  # (slow, fast)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    rows, columns = rng.integers(len(seeds), size=(2, RESAMPLES, len(seeds)))
    medians = np.median(factors[rows, columns], axis=1)
    low, high = np.quantile(medians, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return Factor(dict(zip(seeds, factors.diagonal().tolist(), strict=True)), float(low), float(high))


def _factor(slow: tuple[np.ndarray, np.ndarray], fast: tuple[np.ndarray, np.ndarray]) -> float:
    """Of one run against another; 0 if the fast one never gets there, because then it is no faster at all."""
    places, values = slow
    best = values.max()
    needed = first_reaching(*fast, best)
    return 0.0 if np.isinf(needed) else first_reaching(places, values, best) / needed


COMPARED = (("detr-16", "deformable"), ("detr-8", "deformable"), ("detr-16", "deformable-16"))
COUNTED = {("AP", "epoch"): "epochs", ("AP", "cpu_seconds"): "CPU time", ("AP_small", "epoch"): "epochs, small objects"}


def factor_table(runs: Runs) -> str:
    """A line for each pair of models that was run: how many times as much the slow one needs, for its own best AP."""
    runs = list(runs)
    lines = []
    for slow, fast in COMPARED:
        if not by_seed(runs, slow).keys() & by_seed(runs, fast).keys():
            continue
        for (name, axis), what in COUNTED.items():
            factor = convergence_factor(runs, slow, fast, name, axis)
            pairs = ", ".join(map(_times, factor.pairs.values()))
            times = f"{_times(factor.median)} times" if factor.median else "never reached"
            lines.append(
                f"{VARIANTS[slow].label} against {VARIANTS[fast].label}, {what}: {times} "
                f"({PER_CENT * LEVEL:.0f} %: {_times(factor.low)} to {_times(factor.high)}; by seed {pairs})"
            )
    return "\n".join(lines)


def _times(factor: float) -> str:
    """A factor in words: 0 is that of a run that never got there, see `_factor`."""
    return f"{factor:.1f}" if factor else "never"


SIZES = ("AP", "AP_small", "AP_medium", "AP_large")


def size_table(runs: Runs) -> str:
    """The last AP of each model by size of the objects, in per cent: mean over seeds and, after ±, their spread."""
    runs = list(runs)
    lines = [f"{'model':<34}{'epochs':>7}{'seeds':>6}" + "".join(f"{name:>14}" for name in SIZES)]
    for model, variant in VARIANTS.items():
        found = list(by_seed(runs, model).values())
        if found:
            cells = [_mean_and_spread([last_per_cent(one, name) for one in found]) for name in SIZES]
            lines.append(f"{variant.label:<34}{found[0]['run']['epochs']:>7}{len(found):>6}" + "".join(cells))
    return "\n".join(lines)


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{f'{np.mean(values):.1f}{spread}':>14}"
