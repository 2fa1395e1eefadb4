"""Pictures of the convergence study: what each model reached, epoch by epoch, with the seeds as a band."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from defdetr_ref.explain.style import OKABE_ITO, finish_chart, panels

Runs = Sequence[Mapping[str, Any]]  # contents of the study's files, see defdetr_ref.studies.convergence

PANEL_INCHES = (3.6, 2.9)
STYLES = {  # model -> (what the legend says, colour, marker)
    "deformable": ("Deformable DETR", OKABE_ITO[4], "o"),
    "dense": ("DETR (dense)", OKABE_ITO[5], "s"),
}
SIZES = {"AP_small": "small objects", "AP_medium": "medium objects", "AP_large": "large objects"}
PER_CENT = 100
LEAST_AP_AXIS = 5  # per cent, so that curves near zero stay there


def final_runs_of(runs: Runs, model: str) -> list[Mapping[str, Any]]:
    """The final runs of one model, by seed. Raises ValueError if there is none."""
    found = [one for one in runs if one["run"]["stage"] == "final" and one["run"]["model"] == model]
    if not found:
        raise ValueError(f"there is no final run of the model {model!r}")
    return sorted(found, key=lambda one: one["run"]["seed"])


def by_epoch(
    runs: Runs, model: str, read: Callable[[Mapping[str, Any]], float | None]
) -> Float[np.ndarray, "seed epoch"]:
    """What `read` finds in each epoch of a model's final runs; NaN where it finds nothing, as AP in epoch 0."""
    rows = [[read(row) for row in one["epochs"]] for one in final_runs_of(runs, model)]
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=float)


def epochs_to_reach(curve: Sequence[float] | np.ndarray, goal: float, falling: bool = False) -> int | None:
    """The first epoch, counted from 0, whose value is at least `goal`; None if there is none.

    falling: at most `goal`, as for a loss.
    """
    return next((epoch for epoch, value in enumerate(curve) if (value <= goal if falling else value >= goal)), None)


def plot_ap(runs: Runs, names: Mapping[str, str] = {"AP": "AP"}) -> Figure:
    """AP by epoch in per cent, a panel for each of `names` (key of the records -> title), all on one scale."""
    figure, axes = panels(1, len(names), PANEL_INCHES)
    for ax, (name, title) in zip(axes[0], names.items(), strict=True):
        _draw_models(ax, runs, lambda row, name=name: None if row.get(name) is None else PER_CENT * row[name])
        finish_chart(ax, f"{title}, %", "epoch")
    highest = max(LEAST_AP_AXIS, *(ax.get_ylim()[1] for ax in axes[0]))
    for ax in axes[0]:
        ax.set_ylim(0, highest)
    return figure


def plot_loss(runs: Runs) -> Figure:
    """The training loss by epoch, all layers and terms weighted and summed, as both models minimise it."""
    figure, axes = panels(1, 1, PANEL_INCHES)
    ax = axes[0, 0]
    _draw_models(ax, runs, lambda row: row.get("total"))
    ax.set_ylim(0)
    finish_chart(ax, "training loss", "epoch")
    return figure


def plot_ap_by_size(runs: Runs) -> Figure:
    """The same for small, medium and large objects."""
    return plot_ap(runs, SIZES)


def plot_focus(runs: Runs, what: str = "entropy") -> Figure:
    """How wide attention is, by epoch from 0, before training: a panel for encoder and decoder, mean of the layers.

    what: "entropy", of log S; or "spread", in sides of the image.
    """
    figure, axes = panels(1, 2, PANEL_INCHES)
    for ax, part in zip(axes[0], ("encoder", "decoder"), strict=True):
        _draw_models(ax, runs, lambda row, part=part: float(np.mean(row[f"{part}_{what}"])))
        finish_chart(ax, f"{part}: {'entropy / log S' if what == 'entropy' else 'spread, sides of the image'}", "epoch")
        ax.set_ylim(0, 1.05 if what == "entropy" else None)
    return figure


def plot_search(runs: Runs) -> Figure:
    """The training loss at the end of every search run against its learning rate; the chosen rate is filled."""
    figure, axes = panels(1, 1, PANEL_INCHES)
    ax = axes[0, 0]
    for model, (label, colour, marker) in STYLES.items():
        found = sorted(
            (one["run"]["lr"], one["epochs"][-1]["total"])
            for one in runs
            if one["run"]["stage"] == "search" and one["run"]["model"] == model
        )
        chosen = min(range(len(found)), key=lambda number: found[number][1])
        line = {"color": colour, "marker": marker, "linewidth": 1.6}
        ax.plot(*zip(*found, strict=True), label=label, markerfacecolor="white", gid="curve", **line)
        ax.plot(*found[chosen], linestyle="none", color=colour, marker=marker, markersize=9, gid="chosen")
    ax.set_xscale("log")
    rates = sorted({one["run"]["lr"] for one in runs if one["run"]["stage"] == "search"})
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates], minor=False)
    ax.minorticks_off()
    finish_chart(ax, "training loss after the short run", "learning rate")
    return figure


def _draw_models(ax: Axes, runs: Runs, read: Callable[[Mapping[str, Any]], float | None]) -> None:
    """For each model the mean over the seeds as a line, and from the lowest to the highest seed as a band."""
    for model, (label, colour, marker) in STYLES.items():
        values = by_epoch(runs, model, read)  # (seed, epoch)
        epochs = np.flatnonzero(~np.isnan(values).all(0))
        values = values[:, epochs]
        ax.fill_between(
            epochs, values.min(0), values.max(0), color=colour, alpha=0.25, linewidth=0, label="_", gid="band"
        )
        ax.plot(epochs, values.mean(0), color=colour, marker=marker, markersize=3.5, label=label, gid="curve")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
