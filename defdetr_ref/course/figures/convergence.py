"""Pictures of the studies: what each model reached, epoch by epoch, with the seeds as a band; what a change brings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from defdetr_ref.explain.style import FONT_SIZE, OKABE_ITO, PAGE_INCHES, finish_chart, panels, panels_on_a_page
from defdetr_ref.studies.ablation import CLAIMS, Claim, difference
from defdetr_ref.studies.analysis import PER_CENT, by_seed, last_per_cent
from defdetr_ref.studies.finer_maps import CASES
from defdetr_ref.studies.plan import best_rates
from defdetr_ref.studies.variants import VARIANTS

Runs = Sequence[Mapping[str, Any]]  # contents of the study's files, see defdetr_ref.studies.convergence

PANEL_INCHES = (3.6, 2.9)
STYLES = {  # model -> (colour, marker); what the legend says is the variant's label
    "deformable": (OKABE_ITO[4], "o"),
    "deformable-16": (OKABE_ITO[1], "^"),
    "detr-16": (OKABE_ITO[5], "s"),
    "detr-8": (OKABE_ITO[6], "D"),
}
SIZES = {"AP_small": "small objects", "AP_medium": "medium objects", "AP_large": "large objects"}
EPOCHS_SHOWN = (0, 1, 2, 5, 10, 20, 50, 100)
LEAST_AP_AXIS = 5  # per cent, so that curves near zero stay there


def final_runs_of(runs: Runs, model: str) -> list[Mapping[str, Any]]:
    """The final runs of one model, by seed. Raises ValueError if there is none."""
    found = by_seed(runs, model)
    if not found:
        raise ValueError(f"there is no final run of the model {model!r}")
    return [found[seed] for seed in sorted(found)]


def by_epoch(
    runs: Runs, model: str, read: Callable[[Mapping[str, Any]], float | None]
) -> Float[np.ndarray, "seed epoch"]:
    """What `read` finds in each epoch of a model's final runs; NaN where it finds nothing, as AP in epoch 0."""
    rows = [[read(row) for row in one["epochs"]] for one in final_runs_of(runs, model)]
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=float)


def models_of(runs: Runs) -> list[str]:
    """Those of STYLES that have final runs, in its order."""
    return [model for model in STYLES if by_seed(runs, model)]


def plot_ap(runs: Runs, names: Mapping[str, str] = {"AP": "AP"}) -> Figure:
    """AP by epoch in per cent, a panel for each of `names` (key of the records -> title), all on one scale."""
    figure, axes = panels(1, len(names), (min(PANEL_INCHES[0], PAGE_INCHES / len(names)), PANEL_INCHES[1]))
    for ax, (name, title) in zip(axes[0], names.items(), strict=True):
        _draw_models(ax, runs, lambda row, name=name: None if row.get(name) is None else PER_CENT * row[name])
        finish_chart(ax, f"{title}, %", "epoch")
    _share_legend(figure)
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
    _share_legend(figure)
    return figure


def plot_search(runs: Runs) -> Figure:
    """AP at the end of every search run against its rate, a point for each seed; a ring around the chosen rate's.

    Only of models that have final runs.
    """
    rates_chosen = best_rates(runs)
    chosen = {model: rates_chosen[model] for model in models_of(runs) if model in rates_chosen}
    figure, axes = panels_on_a_page(len(chosen), PANEL_INCHES)
    for ax, (model, rate) in zip(axes, chosen.items(), strict=True):
        colour, marker = STYLES[model]
        found = sorted(
            (one["run"]["lr"], last_per_cent(one))
            for one in runs
            if one["run"]["stage"] == "search" and one["run"]["model"] == model
        )
        ax.plot(*zip(*found, strict=True), linestyle="none", color=colour, marker=marker, gid="seeds")
        rings = [point for point in found if point[0] == rate]
        ax.plot(*zip(*rings, strict=True), linestyle="none", marker="o", markersize=14, markerfacecolor="none",
                color="black", gid="chosen")  # fmt: skip
        ax.set_xscale("log")
        rates = sorted({lr for lr, _ in found})
        ax.set_xticks(rates, [f"{lr:g}" for lr in rates], minor=False)
        ax.minorticks_off()
        ax.set_ylim(0, 1.15 * max(ap for _, ap in found) or 1)  # room for a ring
        finish_chart(ax, f"{VARIANTS[model].label}\nAP after the search, %", "learning rate")
    return figure


def plot_ablation(runs: Runs, claims: Sequence[Claim] = CLAIMS, name: str = "AP") -> Figure:
    """What each change brings, in per cent of `name`: a dot for each seed, a bar at their mean; 0 is no change."""
    rows = [(claim, difference(runs, claim, name)) for claim in claims]
    rows = [(claim, found) for claim, found in rows if len(found)][::-1]  # the first on top
    figure, axes = panels(1, 1, (7.2, 0.8 + 0.36 * len(rows)))
    ax = axes[0, 0]
    for place, (_, found) in enumerate(rows):
        ax.plot(found, np.full(len(found), place), linestyle="none", marker="o", color=OKABE_ITO[4], gid="seeds")
        ax.plot([found.mean()] * 2, [place - 0.3, place + 0.3], color="black", linewidth=2, gid="mean")
    ax.axvline(0, color="grey", linewidth=1)
    ax.set_yticks(range(len(rows)), [claim.what for claim, _ in rows])
    finish_chart(ax, "", f"{name.replace('_', ' ')} gained, %")
    return figure


def plot_finer_maps(content: Mapping[str, Any]) -> Figure:
    """Milliseconds and MiB of one encoder layer by the number of tokens, both axes logarithmic."""
    figure, axes = panels(1, 2, PANEL_INCHES)
    styles = dict(zip(CASES, ((OKABE_ITO[5], "s"), (OKABE_ITO[6], "D"), (OKABE_ITO[4], "o")), strict=True))
    for ax, (name, title, scale) in zip(
        axes[0], (("seconds", "forward + backward, ms", 1000), ("peak_mib", "peak of memory, MiB", 1)), strict=True
    ):
        for case, (colour, marker) in styles.items():
            rows = [row for row in content["rows"] if row["case"] == case and name in row]
            tokens, values = [row["tokens"] for row in rows], [max(1.0, scale * row[name]) for row in rows]
            ax.plot(tokens, values, color=colour, marker=marker, markersize=4, label=case, gid="curve")
        ax.set_xscale("log")
        ax.set_yscale("log")
        finish_chart(ax, title, "tokens")
    return figure


def _share_legend(figure: Figure) -> None:
    """One legend below all panels, where it hides no curve."""
    for ax in figure.axes:
        ax.get_legend().remove()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=FONT_SIZE - 1, frameon=False)


def _draw_models(ax: Axes, runs: Runs, read: Callable[[Mapping[str, Any]], float | None]) -> None:
    """For each model the mean over the seeds as a line, and from the lowest to the highest seed as a band."""
    for model in models_of(runs):
        colour, marker = STYLES[model]
        values = by_epoch(runs, model, read)  # (seed, epoch)
        epochs = np.flatnonzero(~np.isnan(values).all(0))
        values = values[:, epochs]
        ax.fill_between(
            epochs, values.min(0), values.max(0), color=colour, alpha=0.25, linewidth=0, label="_", gid="band"
        )
        label = VARIANTS[model].label
        ax.plot(epochs, values.mean(0), color=colour, marker=marker, markersize=3, label=label, gid="curve")
    ax.set_xscale("symlog", linthresh=1)  # epoch 0 has a place, and ten times as many epochs fit
    ax.set_xticks(EPOCHS_SHOWN, EPOCHS_SHOWN)
    ax.minorticks_off()
