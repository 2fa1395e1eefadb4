"""Pictures for "From query to box": a number of the box against the number the head says, and the boxes themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from defdetr_ref.boxes import cxcywh_to_xyxy, refine_boxes
from defdetr_ref.explain.recording import to_pixels
from defdetr_ref.explain.style import FONT_SIZE, INK, OKABE_ITO, REFERENCE_GREEN, draw_box, panels, panels_on_a_page

CURVE_INCHES = (5.4, 3.4)
IMAGE_INCHES = (2.45, 2.1)
LINE_COLOURS = tuple(OKABE_ITO[number] for number in (0, 1, 2, 5, 4))  # no yellow, which is faint as a line
REACH = 6.0  # logits shown to either side of zero
STEPS = 121  # points of a curve, 0.1 logits apart


def plot_decoding_curves(references: Sequence[float]) -> Figure:
    """One number of a box against the number that the head says, for up to five references in (0, 1).

    σ(b + σ⁻¹(reference)); a dot where b = 0. Raises ValueError for a reference outside (0, 1).
    """
    for reference in references:
        if not 0 < reference < 1:
            raise ValueError(f"plot_decoding_curves: a reference is {reference}; it must lie between 0 and 1")
    figure, axes = panels(1, 1, CURVE_INCHES)
    ax = axes[0, 0]
    says = torch.linspace(-REACH, REACH, STEPS)
    for reference, colour in zip(references, LINE_COLOURS, strict=False):
        curve = refine_boxes(torch.full((STEPS, 4), reference), says[:, None].expand(-1, 4))[:, 0]
        ax.plot(says.numpy(), curve.numpy(), color=colour, linewidth=2, label=f"reference {reference:g}", gid="curve")
        ax.plot([0], [reference], "o", color=colour, markersize=7, gid="reference")
    ax.axvline(0, color=INK, linewidth=0.8, linestyle=":")
    ax.set_xlabel("b, what the head says", fontsize=FONT_SIZE - 1)
    ax.set_ylabel("share of the image", fontsize=FONT_SIZE - 1)
    ax.set(ylim=(-0.02, 1.02))
    ax.tick_params(labelsize=FONT_SIZE - 1)
    ax.grid(alpha=0.3, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=FONT_SIZE - 1, frameon=False, loc="upper left")
    return figure


def curve_facts(figure: Figure) -> list[str]:
    """What `plot_decoding_curves` drew, a sentence for each curve."""
    facts = []
    for line in figure.axes[0].lines:
        if line.get_gid() == "curve":
            says, number = line.get_data()
            at_zero = number[abs(says).argmin()]
            ends = [f"{number[end]:.3f} at b = {says[end]:g}" for end in (0, -1)]
            facts.append(f"{line.get_label()}: {ends[0]}, {at_zero:.3f} at b = 0, {ends[1]}")
    return facts


@dataclass(frozen=True)
class DecodedBoxes:
    """One panel: boxes that were decoded around one reference, all cxcywh (or x, y) in [0, 1] of the image."""

    title: str
    reference: Tensor  # (2,) a point or (4,) a box
    boxes: Float[Tensor, "n 4"]
    captions: Sequence[str]  # one for each box


def plot_decoded_boxes(examples: Sequence[DecodedBoxes], height: int, width: int) -> Figure:
    """A panel for each example: its reference, a green cross or also a dashed box, and the boxes around it.

    height, width: of the image, in pixels. Raises ValueError without examples.
    """
    if not examples:
        raise ValueError("plot_decoded_boxes: there is nothing to draw; give at least one example")
    figure, axes = panels_on_a_page(len(examples), IMAGE_INCHES)
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    for ax, example in zip(axes, examples, strict=True):
        ax.set(xlim=(0, width), ylim=(height, 0), aspect=1, xticks=[], yticks=[])
        if len(example.reference) == 4:
            draw_box(ax, cxcywh_to_xyxy(example.reference) * scale, INK, dashed=True, gid="reference box")
        corners = cxcywh_to_xyxy(example.boxes) * scale
        for box, caption, colour in zip(corners, example.captions, LINE_COLOURS, strict=False):
            draw_box(ax, box, colour, caption)
        x, y = to_pixels(example.reference[:2], height, width).tolist()
        ax.plot([x], [y], "+", color=REFERENCE_GREEN, markersize=11, markeredgewidth=2.5, gid="reference")
        ax.set_title(example.title, fontsize=FONT_SIZE, color=INK)
    return figure


def box_facts(figure: Figure) -> list[str]:
    """What `plot_decoded_boxes` drew: centre and size of every box in pixels, a sentence for each panel."""
    facts = []
    for ax in figure.axes:
        boxes = [patch for patch in ax.patches if patch.get_gid() == "box"]
        drawn = [
            f"{text.get_text()} → ({p.get_x() + p.get_width() / 2:.1f}, {p.get_y() + p.get_height() / 2:.1f}) "
            f"{p.get_width():.1f}×{p.get_height():.1f}"
            for text, p in zip(ax.texts, boxes, strict=True)
        ]
        facts.append(f"{ax.get_title()}: " + "; ".join(drawn))
    return facts
