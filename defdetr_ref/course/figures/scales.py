"""The picture for "Many scales, no FPN": one query's points on the grid of every level."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from defdetr_ref.explain.recording import to_pixels
from defdetr_ref.explain.style import FONT_SIZE, INK, REFERENCE_GREEN, WEIGHT_COLOURS, panels_on_a_page
from defdetr_ref.positions import SpatialShapes

PANEL_INCHES = (3.2, 2.5)
CELL_EDGE = "#C8C8C8"
PADDING_GREY = "#D9D9D9"
BEYOND = 0.25  # of the level, shown around it; points farther out are not drawn, only counted below the level
DOT_AREA, DOT_EDGE = 22, 0.6  # points² and points
ON_THE_EDGE = 1e-3  # pixels; a point this close to the frame counts as inside, whatever the rounding
MOST_LINES = 40  # grids with more cells on a side would be solid grey


def plot_levels(
    locations: Float[Tensor, "head level point 2"],
    weights: Float[Tensor, "head level point"],
    references: Float[Tensor, "level 2"],
    spatial_shapes: SpatialShapes,
    valid_ratios: Float[Tensor, "level 2"] | None = None,
) -> Figure:
    """One query on all levels, a panel for each, all of one size: the grid of its pixels, and the points read there.

    A point farther out than `BEYOND` is counted below its level and not drawn.

    locations, references: x, y in [0, 1] of the padded level. weights: give the points their colour, on one scale for
    all panels. valid_ratios: (x, y), the share of each level that is image; the rest is hatched as padding.

    Raises ValueError unless there is a shape for every level.
    """
    if len(spatial_shapes) != len(references):
        raise ValueError(
            f"plot_levels: {len(references)} levels have points, but spatial_shapes has {len(spatial_shapes)} entries"
        )
    figure, axes = panels_on_a_page(len(spatial_shapes), PANEL_INCHES)
    ratios = torch.ones(len(spatial_shapes), 2) if valid_ratios is None else valid_ratios
    heaviest = weights.detach().max().item()
    for level, (ax, (height, width)) in enumerate(zip(axes, spatial_shapes, strict=True)):
        draw_grid(ax, height, width, ratios[level].tolist())
        points = to_pixels(locations.detach()[:, level].flatten(0, 1), height, width).numpy()
        beyond = BEYOND * np.array([width, height]) + ON_THE_EDGE
        near = ((points >= -beyond) & (points <= np.array([width, height]) + beyond)).all(-1)
        ax.scatter(
            *points.T, c=weights.detach()[:, level].flatten().numpy(), cmap=WEIGHT_COLOURS, vmin=0, vmax=heaviest,
            s=DOT_AREA * near, edgecolors=INK, linewidths=DOT_EDGE * near, zorder=3, clip_on=False,
            gid="sampling point",
        )  # fmt: skip
        if not near.all():
            ax.set_xlabel(f"and {(~near).sum()} farther out", fontsize=FONT_SIZE - 1, color=INK)
        cross = to_pixels(references[level : level + 1].detach(), height, width).numpy()
        style = dict(color=REFERENCE_GREEN, markersize=11, markeredgewidth=2.5)
        ax.plot(*cross.T, "+", **style, zorder=4, gid="reference point")
        ax.set_title(f"level {level}: {height}×{width}", fontsize=FONT_SIZE, color=INK)
    return figure


def draw_grid(ax: Axes, height: int, width: int, ratio: list[float]) -> None:
    """The pixels of a level, with what is padding on the right and at the bottom hatched."""
    ax.add_patch(Rectangle((0, 0), width, height, facecolor="none", edgecolor=INK, linewidth=1.2, gid="level"))
    if height <= MOST_LINES and width <= MOST_LINES:
        ax.vlines(range(1, width), 0, height, colors=CELL_EDGE, linewidths=0.5, zorder=1)
        ax.hlines(range(1, height), 0, width, colors=CELL_EDGE, linewidths=0.5, zorder=1)
    valid_width, valid_height = ratio[0] * width, ratio[1] * height
    right = Rectangle((valid_width, 0), width - valid_width, height)
    below = Rectangle((0, valid_height), valid_width, height - valid_height)
    for patch in (right, below):
        if patch.get_width() > 0 and patch.get_height() > 0:
            patch.set(facecolor=PADDING_GREY, edgecolor="white", hatch="//", zorder=0, gid="padding")
            ax.add_patch(patch)
    beyond_x, beyond_y = BEYOND * width, BEYOND * height
    ax.set(xlim=(-beyond_x, width + beyond_x), ylim=(height + beyond_y, -beyond_y), aspect=1, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def level_facts(figure: Figure) -> list[str]:
    """What `plot_levels` drew, a sentence for each level."""
    return [f"{ax.get_title()}: {', '.join(_level_facts(ax))}" for ax in figure.axes]


def _level_facts(ax: Axes) -> Iterator[str]:
    (frame,) = (patch for patch in ax.patches if patch.get_gid() == "level")
    size = np.array([frame.get_width(), frame.get_height()])
    (cross,) = (line.get_xydata()[0] for line in ax.lines if line.get_gid() == "reference point")
    (dots,) = (dots for dots in ax.collections if dots.get_gid() == "sampling point")
    points = np.asarray(dots.get_offsets())
    yield f"reference at ({cross[0]:.2f}, {cross[1]:.2f}) px = ({cross[0] / size[0]:.2f}, {cross[1] / size[1]:.2f})"
    outside = ((points < -ON_THE_EDGE) | (points > size + ON_THE_EDGE)).any(-1).sum()
    yield f"{len(points)} points, {outside} outside"
    yield f"weights add up to {dots.get_array().sum():.2f}"
    padding = sum(patch.get_width() * patch.get_height() for patch in ax.patches if patch.get_gid() == "padding")
    yield f"{100 * padding / size.prod():.0f} % padding"
