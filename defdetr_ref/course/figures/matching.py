"""Pictures of the loss: who is matched with whom, at what cost, and how focal loss weighs the easy and the hard."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from torch import Tensor

from defdetr_ref.boxes import cxcywh_to_xyxy
from defdetr_ref.explain.sampling import Picture
from defdetr_ref.explain.style import (
    FONT_SIZE,
    INK,
    OKABE_ITO,
    category_colour,
    displayable,
    draw_box,
    panels,
    show_image,
)
from defdetr_ref.layers import FOREGROUND_PRIOR
from defdetr_ref.losses import focal_loss
from defdetr_ref.matching import Assignment

IMAGE_INCHES = (3.6, 2.9)
CURVE_INCHES = (3.7, 3.2)
CELL_INCHES = 0.62
NOBODY = "#888888"  # colour of a query that no object is matched to
MATRIX_COLOURS = "cividis_r"  # dark = dear
CURVE_COLOURS = tuple(OKABE_ITO[number] for number in (0, 1, 2, 5, 4))  # no yellow, which is faint as a line
CURVE_POINTS = 199  # probabilities 0.005, 0.010, … 0.995


def plot_matching(
    image: Picture,
    boxes: Float[Tensor, "query 4"],
    target_boxes: Float[Tensor, "n 4"],
    assignment: Assignment,
    *,
    names: Sequence[str] = (),
) -> Figure:
    """Predictions left, objects right, a line between every matched pair. Unmatched queries are grey.

    image: without padding. boxes, target_boxes: cxcywh in [0, 1]. names: of the objects. A pair has one colour.
    """
    height, width = displayable(image).shape[:2]
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    figure, axes = panels(1, 2, IMAGE_INCHES)
    left, right = axes[0]
    show_image(left, image, f"{len(boxes)} predictions")
    show_image(right, image, f"{len(target_boxes)} objects")
    object_of = dict(zip(*(index.tolist() for index in assignment), strict=True))
    for query, box in enumerate(cxcywh_to_xyxy(boxes) * scale):
        colour = category_colour(object_of[query]) if query in object_of else NOBODY
        draw_box(left, box, colour, f"query {query}", dashed=query not in object_of)
    for index, box in enumerate(cxcywh_to_xyxy(target_boxes) * scale):
        draw_box(right, box, category_colour(index), names[index] if names else f"object {index}")
    for query, index in object_of.items():
        _connect(left, boxes[query] * scale, right, target_boxes[index] * scale, category_colour(index))
    return figure


def _connect(left: Axes, box: Tensor, right: Axes, target: Tensor, colour: str) -> None:
    """A line from the right edge of the prediction to the left edge of the object, across the two panels."""
    (x, y, width, _), (target_x, target_y, target_width, _) = box.tolist(), target.tolist()
    line = ConnectionPatch(
        (x + width / 2, y), (target_x - target_width / 2, target_y), "data", "data", axesA=left, axesB=right,
        color=colour, linewidth=2, gid="match",
    )  # fmt: skip
    left.figure.add_artist(line)


def plot_cost_matrix(cost: Float[Tensor, "query n"], assignment: Assignment, names: Sequence[str] = ()) -> Figure:
    """The cost of every query (row) for every object (column), with the chosen pairs framed."""
    queries, objects = cost.shape
    figure, axes = panels(1, 1, (CELL_INCHES * (objects + 3), CELL_INCHES * (queries + 1)))
    ax = axes[0, 0]
    ax.imshow(cost.numpy(), cmap=MATRIX_COLOURS, aspect="auto", gid="cost")
    middle = float(cost.min() + cost.max()) / 2
    for row, column in np.ndindex(queries, objects):
        value = float(cost[row, column])
        colour = "white" if value > middle else INK
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=FONT_SIZE, color=colour, gid="cost")
    for row, column in zip(*(index.tolist() for index in assignment), strict=True):
        frame = Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, linewidth=3, gid="chosen")
        frame.set_edgecolor(OKABE_ITO[5])
        ax.add_patch(frame)
    labels = names or [f"object {index}" for index in range(objects)]
    ax.set_xticks(range(objects), labels, fontsize=FONT_SIZE)
    ax.set_yticks(range(queries), [f"query {query}" for query in range(queries)], fontsize=FONT_SIZE)
    ax.set_title("cost, and the cheapest assignment", fontsize=FONT_SIZE, color=INK)
    return figure


def plot_focal_loss(gammas: Sequence[float | int] = (0, 0.5, 1, 2, 5)) -> Figure:
    """Left: (1 - p)^γ · -log p for several γ, without α. Right: the loss as used, for a 1 and for a 0; log axis.

    At most five γ. p is the probability that the model gives to the class. The dotted line is the prior at which
    training starts.
    """
    figure, axes = panels(1, 2, CURVE_INCHES)
    left, right = axes[0]
    p = torch.linspace(0.005, 0.995, CURVE_POINTS, dtype=torch.float64)
    for gamma, colour in zip(gammas, CURVE_COLOURS, strict=False):
        left.plot(p.numpy(), ((1 - p) ** gamma * -p.log()).numpy(), color=colour, label=f"γ = {gamma:g}", gid="curve")
    left.set(ylim=(0, 5), title=r"the truth is 1: $(1 - p)^\gamma \cdot (-\log p)$")
    for truth, colour in ((1.0, OKABE_ITO[4]), (0.0, OKABE_ITO[5])):
        loss = focal_loss(p.logit(), torch.full_like(p, truth))
        right.plot(p.numpy(), loss.numpy(), color=colour, label=f"the truth is {truth:g}", gid="curve")
    right.set(yscale="log", ylim=(1e-7, 10), title="as used: γ = 2, α = 0.25 (log axis)")
    right.axvline(FOREGROUND_PRIOR, color=INK, linestyle=":", linewidth=1.2, gid="prior", label="prior 0.01")
    for ax in (left, right):
        ax.title.set(fontsize=FONT_SIZE, color=INK)
        ax.set_xlabel("p, probability given to the class", fontsize=FONT_SIZE - 1)
        ax.tick_params(labelsize=FONT_SIZE - 1)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(fontsize=FONT_SIZE - 2, frameon=False)
    return figure


def lines_drawn(figure: Figure) -> int:
    """How many matches `plot_matching` drew."""
    return sum(artist.get_gid() == "match" for artist in figure.artists + figure.patches)
