"""The symptoms of a run beside those of healthy ones: as a sheet of pictures, and as a table. Neither names a bug."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from defdetr_ref.explain.recording import to_pixels
from defdetr_ref.explain.style import (
    FONT_SIZE,
    OKABE_ITO,
    PAGE_INCHES,
    REFERENCE_GREEN,
    ShownFigure,
    draw_box,
    finish_chart,
    show_image,
)

Run = Mapping[str, Any]  # the content of a run's file, see defdetr_ref.debugging.runs

SHEET = [["total", "loss_ce", "ap"], ["loss_bbox", "loss_giou", "look"], ["aps", "gradients", "look"]]
SHEET_INCHES, SHEET_WIDTHS = (PAGE_INCHES, 5.6), (1, 1, 1.3)
HEALTHY, CASE = "#999999", OKABE_ITO[5]
TERMS = {
    "total": "loss, all terms",
    "loss_ce": "classes, last layer",
    "loss_bbox": "L1 of boxes, last layer",
    "loss_giou": "1 - GIoU, last layer",
}
LEAST_NORM = 1e-3  # where a gradient of zero is drawn on a logarithmic axis
LARGEST_DOT = 160  # points² for the weight 1
BRIGHTNESS = 0.6
LEAST_SHOWN = 0.005  # in the table
SAME = 0.01  # a gradient that differs by less, relatively, does so by rounding


def aps_of(run: Run) -> dict[str, float]:
    """The run's AP at its end, in per cent: of objects by size, and asked in other ways."""
    last, judged = run["epochs"][-1], run["judged"]
    layers = {f"layer {number}": value for number, value in enumerate(judged["layers"], start=1)}
    found = {
        "all": last["AP"],
        **{size: last[f"AP_{size}"] for size in ("small", "medium", "large")},
        "any class": judged["ignoring classes"],
        "alone": judged["alone"],
        **layers,
    }
    return {name: 100 * value for name, value in found.items()}


def first_gradients(run: Run) -> dict[str, float]:
    """The length of the first step's gradient, by part of the model."""
    return {name: values[0] for name, values in run["steps"]["gradients"].items()}


def plot_run(
    run: Run, healthy: Sequence[Run], image: Float[Tensor, "3 height width"], boxes: Float[Tensor, "object 4"]
) -> Figure:
    """Eight panels: four losses, AP by epoch and in other ways, gradients, and where a query looks with its box.

    run: in orange.
    healthy: in grey; the first has the seed of `run`.
    image: that of the run's picture, padded as in its batch.
    boxes: of the objects in the image, xyxy in pixels; the query is matched to one of them.
    """
    figure = ShownFigure(figsize=SHEET_INCHES, layout="constrained")
    axes = figure.subplot_mosaic(SHEET, width_ratios=SHEET_WIDTHS)
    for term, title in TERMS.items():
        for one, style in _styled(run, healthy):
            axes[term].plot(one["steps"]["step"], one["steps"]["loss"][term], **style)
        finish_chart(axes[term], title, "step")
    for one, style in _styled(run, healthy):
        rows = one["epochs"][1:]
        axes["ap"].plot([row["epoch"] for row in rows], [100 * row["AP"] for row in rows], **style)
    axes["ap"].set_ylim(bottom=0)
    finish_chart(axes["ap"], "AP, %", "epoch")
    _draw_dots(axes["aps"], run, healthy, aps_of, "AP after the last epoch, %")
    _draw_dots(axes["gradients"], run, healthy, _visible_gradients, "first step's gradient")
    axes["gradients"].set_xscale("log")
    axes["gradients"].set_xlim(left=0.7 * LEAST_NORM)
    _draw_look(axes["look"], run, image, boxes)
    return figure


def _styled(run: Run, healthy: Sequence[Run]) -> list[tuple[Run, dict[str, Any]]]:
    return [
        *((one, {"color": HEALTHY, "linewidth": 1, "gid": "healthy"}) for one in healthy),
        (run, {"color": CASE, "linewidth": 1.8, "gid": "case"}),
    ]


def _visible_gradients(run: Run) -> dict[str, float]:
    return {name: max(LEAST_NORM, value) for name, value in first_gradients(run).items()}


def _draw_dots(ax: Axes, run: Run, healthy: Sequence[Run], read: Callable[[Run], dict[str, float]], title: str) -> None:
    names = list(read(run))[::-1]  # the first on top
    for one, style in _styled(run, healthy):
        values = read(one)
        marker = "o" if style["gid"] == "case" else "|"
        ax.plot([values[name] for name in names], names, marker, color=style["color"], gid=style["gid"])
    finish_chart(ax, title, "")


def _draw_look(ax: Axes, run: Run, image: Float[Tensor, "3 height width"], boxes: Float[Tensor, "object 4"]) -> None:
    """The points of the last decoder layer's query, by weight, its reference, its box, and the box of its object."""
    look = run["picture"]["query"]
    height, width = show_image(ax, image, "a query's points, last layer", brightness=BRIGHTNESS)
    draw_box(ax, boxes[run["picture"]["object"]], "white", gid="truth")
    draw_box(ax, look["box"], CASE)
    places = to_pixels(torch.tensor(look["locations"]).flatten(0, -2), height, width)
    sizes = LARGEST_DOT * np.array(look["weights"]).flatten()
    ax.scatter(*places.T.numpy(), s=sizes, color=CASE, edgecolors="black", linewidths=0.4, zorder=3, gid="points")
    cross = to_pixels(torch.tensor(look["reference"][:2]), height, width).tolist()
    ax.plot(*([place] for place in cross), "+", color=REFERENCE_GREEN, markersize=11, markeredgewidth=2.5, zorder=4)
    ax.set(xlim=(-0.15 * width, 1.15 * width), ylim=(1.15 * height, -0.15 * height))
    ax.set_xlabel(
        "white: the object; orange: the query\n"
        f"of all weight, {100 * run['epochs'][-1]['outside']['decoder']:.0f} % is outside", fontsize=FONT_SIZE - 1,
    )  # fmt: skip


def symptom_table(cases: Mapping[str, Run], healthy: Sequence[Run]) -> str:
    """A line for each symptom: what healthy runs have, from the lowest to the highest, and what each case has.

    The first healthy run has the cases' seed: gradients of the first step are told as multiples of its own.
    """
    rows = [_symptoms(one, healthy[0]) for one in healthy]
    lines = [f"{'':<34}{'healthy':>16}" + "".join(f"{'case ' + name:>10}" for name in cases)]
    shown = {name: _symptoms(run, healthy[0]) for name, run in cases.items()}
    for name in rows[0]:
        if name.startswith("gradient"):
            usual = "1"
        else:
            values = [row[name] for row in rows]
            usual = f"{_short(min(values))} to {_short(max(values))}"
        lines.append(f"{name:<34}{usual:>16}" + "".join(f"{_short(one[name]):>10}" for one in shown.values()))
    return "\n".join(lines)


def _symptoms(run: Run, twin: Run) -> dict[str, float]:
    last, judged, theirs = run["epochs"][-1], run["judged"], first_gradients(twin)
    found = {f"{title}, at the end": run["steps"]["loss"][term][-1] for term, title in TERMS.items()}
    found |= {f"AP, {name}": value for name, value in aps_of(run).items()}
    found |= {f"loss of a batch, {how}": judged[f"loss {how}"] for how in ("together", "alone")}
    found |= {f"attention outside, {part}, %": 100 * last["outside"][part] for part in ("encoder", "decoder")}
    found |= {f"decoder's attention, level {n + 1}, %": 100 * share for n, share in enumerate(last["levels"])}
    for name, value in first_gradients(run).items():
        ratio = value / theirs[name]
        found[f"gradient, step 1, {name}"] = 1.0 if abs(ratio - 1) < SAME else ratio
    return found


def _short(value: float) -> str:
    if abs(value) < LEAST_SHOWN:
        return "0"
    return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"
