"""Pictures for "Refinement with the gradient blocked": a box layer by layer, and who gets whose gradient."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from defdetr_ref.boxes import box_iou, cxcywh_to_xyxy
from defdetr_ref.explain.recording import to_pixels
from defdetr_ref.explain.style import (
    FONT_SIZE,
    INK,
    OKABE_ITO,
    REFERENCE_GREEN,
    draw_box,
    panels,
    panels_on_a_page,
    show_image,
)

PANEL_INCHES = (2.45, 2.2)
BAR_PANEL_INCHES = (5.2, 2.9)
POINT_COLOUR, BOX_COLOUR = OKABE_ITO[4], OKABE_ITO[5]
BAR_GROUP = 0.8  # of the space between two layers is filled with bars
LEGEND_ROOM = 0.25  # above the highest bar, of its height


def plot_box_steps(
    references: Sequence[Tensor],
    truth: Float[Tensor, "4"],
    height: int,
    width: int,
    locations: Sequence[Tensor] | None = None,
    image: Float[Tensor, "3 height width"] | None = None,
) -> Figure:
    """What one query refers to from layer to layer, a panel for each step: a point, a cross, or a box, with its IoU.

    references: each (2,), x, y, or (4,), cxcywh, in [0, 1] of the image, like all that follows.
    truth: the true box, cxcywh, drawn dashed.
    height, width: of the image, in pixels.
    locations: for every step, (samples, 2), where the next layer reads, x, y; none at all where no layer comes next.
    image: normalised, drawn behind it all.

    Raises ValueError without references, or if there are more or fewer sets of locations.
    """
    if len(references) == 0 or (locations is not None and len(locations) != len(references)):
        raise ValueError(
            f"plot_box_steps: {len(references)} references and {0 if locations is None else len(locations)} sets of "
            "locations; give at least one reference, and as many sets of locations or None"
        )
    figure, axes = panels_on_a_page(len(references), PANEL_INCHES)
    truth_in_pixels = _corners_in_pixels(truth, height, width)
    for step, (ax, reference) in enumerate(zip(axes, references, strict=True)):
        ax.set(xlim=(0, width), ylim=(height, 0), aspect=1, xticks=[], yticks=[])
        title = f"after layer {step}" if step else "start"
        if image is not None:
            show_image(ax, image)
        draw_box(ax, truth_in_pixels, INK, dashed=True, gid="truth")
        if len(reference) == 4:
            box = _corners_in_pixels(reference, height, width)
            draw_box(ax, box, BOX_COLOUR)
            title += f", IoU {box_iou(box[None], truth_in_pixels[None]).item():.2f}"
        if locations is not None and len(locations[step]):
            points = to_pixels(locations[step].detach(), height, width).numpy()
            ax.plot(*points.T, "o", color=POINT_COLOUR, markersize=2.5, gid="sampling point")
        centre = to_pixels(reference[None, :2].detach(), height, width).numpy()
        ax.plot(*centre.T, "+", color=REFERENCE_GREEN, markersize=9, markeredgewidth=2, gid="reference point")
        ax.set_title(title, fontsize=FONT_SIZE, color=INK)
    return figure


def _corners_in_pixels(box: Float[Tensor, "4"], height: int, width: int) -> Float[Tensor, "4"]:
    return cxcywh_to_xyxy(box.detach()) * torch.tensor([width, height, width, height], dtype=box.dtype)


def step_facts(figure: Figure) -> list[str]:
    """What `plot_box_steps` drew, a sentence for each step."""
    return [f"{ax.get_title()}: {_step_fact(ax)}" for ax in figure.axes]


def _step_fact(ax: Axes) -> str:
    boxes = [patch for patch in ax.patches if patch.get_gid() == "box"]
    (centre,) = (line.get_xydata()[0] for line in ax.lines if line.get_gid() == "reference point")
    fact = f"centre ({centre[0]:.1f}, {centre[1]:.1f}) px"
    fact += f", size {_size(boxes[0])} px" if boxes else ", no size"
    samples = [line.get_xydata() for line in ax.lines if line.get_gid() == "sampling point"]
    if samples:
        reach = np.ptp(samples[0], axis=0)
        fact += f", {len(samples[0])} points over {reach[0]:.1f}×{reach[1]:.1f} px"
    return fact


def _size(box: Rectangle) -> str:
    return f"{box.get_width():.1f}×{box.get_height():.1f}"


def plot_gradient_bars(gradients: Mapping[str, Sequence[float]]) -> Figure:
    """How much gradient each layer's box head gets, a group of bars for each layer, a colour for each entry.

    gradients: for every way to compute them, one norm for each layer, first layer first.
    Raises ValueError unless there is at least one entry and all have as many layers.
    """
    counts = sorted({len(norms) for norms in gradients.values()})
    if len(counts) != 1 or counts[0] == 0:
        raise ValueError(f"plot_gradient_bars: every entry needs a norm for each layer, got entries of length {counts}")
    figure, axes = panels(1, 1, BAR_PANEL_INCHES)
    ax, bar_width = axes[0, 0], BAR_GROUP / len(gradients)
    for entry, (name, norms) in enumerate(gradients.items()):
        places = np.arange(1, counts[0] + 1) + (entry - (len(gradients) - 1) / 2) * bar_width
        bars = ax.bar(places, norms, bar_width * 0.95, color=OKABE_ITO[entry % len(OKABE_ITO)], label=name)
        ax.bar_label(bars, ["0" if norm == 0 else "" for norm in norms], fontsize=FONT_SIZE - 1)  # a bar of no height
    ax.set_xticks(range(1, counts[0] + 1), [f"head {layer}" for layer in range(1, counts[0] + 1)])
    ax.set_ylabel("norm of the gradient", fontsize=FONT_SIZE - 1)
    ax.tick_params(labelsize=FONT_SIZE - 1)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(y=LEGEND_ROOM)
    ax.legend(fontsize=FONT_SIZE - 1, frameon=False)
    return figure


def bar_facts(figure: Figure) -> list[str]:
    """What `plot_gradient_bars` drew: which heads have a bar, a sentence for each entry."""
    facts = []
    for bars in figure.axes[0].containers:
        heights = [bar.get_height() for bar in bars]
        reached = [str(layer) for layer, height in enumerate(heights, start=1) if height > 0]
        facts.append(f"{bars.get_label()}: {len(heights)} bars, gradient at head {', '.join(reached) or 'none'}")
    return facts
