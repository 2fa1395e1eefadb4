"""Pictures of the first stage: where pixels propose, and which proposals become queries."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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
from defdetr_ref.positions import SpatialShapes, split_levels

PANEL_INCHES = (2.45, 2.2)
GRID_BRIGHTNESS = 0.55  # of the image below the dots
USABLE, UNUSABLE = OKABE_ITO[3], OKABE_ITO[5]  # yellow, vermilion
HEAT_COLOURS = "cividis"
BOX_NEAR = 0.45  # the drawn proposal's place in the image: beside the middle, so that no two centres are equally near


def plot_proposals(
    image: Picture,
    boxes: Float[Tensor, "token 4"],
    usable: Bool[Tensor, " token"],
    spatial_shapes: SpatialShapes,
    *,
    valid_size: tuple[int, int] | None = None,
) -> Figure:
    """Every proposal's centre, a panel for each level; a dot if it is usable, a cross if not. One box a panel is drawn.

    image: with its padding, if it has any. boxes: cxcywh in [0, 1] of the image without padding. valid_size: (height,
    width) in pixels of the image without padding. The box drawn is that of the usable token nearest to the image's
    middle. Centres that lie beyond the picture are not seen.
    """
    height, width = valid_size or displayable(image).shape[:2]
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    figure, axes = panels(1, len(spatial_shapes), PANEL_INCHES)
    levels = zip(split_levels(boxes[None], spatial_shapes), split_levels(usable[None], spatial_shapes), strict=True)
    for level, (ax, (level_boxes, level_usable)) in enumerate(zip(axes[0], levels, strict=True)):
        rows, columns = spatial_shapes[level]
        show_image(ax, image, f"level {level}: {rows} × {columns} pixels", brightness=GRID_BRIGHTNESS)
        pixels, good = level_boxes[0] * scale, level_usable[0]
        _draw_centres(ax, pixels[good], ".", USABLE, "usable")
        _draw_centres(ax, pixels[~good], "x", UNUSABLE, "unusable")
        if good.any():
            candidates = level_boxes[0, good]
            nearest = (candidates[:, :2] - BOX_NEAR).norm(dim=-1).argmin()
            draw_box(ax, cxcywh_to_xyxy(candidates[nearest] * scale), USABLE)
    return figure


def _draw_centres(ax: Axes, boxes: Float[Tensor, "n 4"], marker: str, colour: str, gid: str) -> None:
    if len(boxes):
        x, y = boxes[:, 0].numpy(), boxes[:, 1].numpy()
        ax.plot(x, y, marker, color=colour, markersize=4, gid=gid, clip_on=True)


def plot_heat_map(
    image: Picture,
    scores: Float[Tensor, " token"],
    spatial_shapes: SpatialShapes,
    chosen: Float[Tensor, "query 4"],
    truth: Float[Tensor, "n 4"],
) -> Figure:
    """Above, the true boxes and those of the chosen proposals; below, the foreground score on each level.

    image: without padding. scores: foreground probability of every token. chosen, truth: cxcywh in [0, 1]. All levels
    share one colour scale, from 0 to 1.
    """
    height, width = displayable(image).shape[:2]
    figure, (above, below) = panels(2, max(2, len(spatial_shapes)), PANEL_INCHES)
    for ax in (*above[2:], *below[len(spatial_shapes) :]):
        ax.remove()
    first, last = above[:2]
    show_image(first, image, "true boxes")
    _draw_boxes(first, truth, (height, width), gid="truth")
    heat_maps = split_levels(scores[None], spatial_shapes)
    for level, (ax, heat_map) in enumerate(zip(below, heat_maps, strict=False)):
        grid = rearrange(heat_map[0], "(height width) -> height width", height=spatial_shapes[level][0])
        heat = ax.imshow(
            grid.numpy(), extent=(0, width, height, 0), cmap=HEAT_COLOURS, vmin=0, vmax=1, interpolation="nearest",
            gid="heat map",
        )  # fmt: skip
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"score on level {level}", fontsize=FONT_SIZE, color=INK)
    figure.colorbar(heat, ax=list(below[: len(spatial_shapes)]), shrink=0.8, pad=0.02).ax.tick_params(
        labelsize=FONT_SIZE - 2
    )
    show_image(last, image, f"the {len(chosen)} best become queries")
    _draw_boxes(last, chosen, (height, width), gid="box")
    return figure


def _draw_boxes(ax: Axes, boxes: Float[Tensor, "n 4"], size: tuple[int, int], gid: str) -> None:
    height, width = size
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    for number, box in enumerate(cxcywh_to_xyxy(boxes) * scale):
        draw_box(ax, box, category_colour(number), gid=gid)


def centres_drawn(figure: Figure) -> Sequence[tuple[int, int]]:
    """(usable, unusable) centres in each panel of `plot_proposals`, read from what was drawn."""
    return [(_dots(ax, "usable"), _dots(ax, "unusable")) for ax in figure.axes]


def _dots(ax: Axes, gid: str) -> int:
    return sum(len(line.get_xdata()) for line in ax.lines if line.get_gid() == gid)
