"""Pictures for "Reference points": where queries start to look, on padded levels of a batch."""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from defdetr_ref.course.figures.scales import draw_grid
from defdetr_ref.explain.recording import to_pixels
from defdetr_ref.explain.style import FONT_SIZE, INK, OKABE_ITO, REFERENCE_GREEN, panels, panels_on_a_page
from defdetr_ref.positions import SpatialShapes, split_levels

LEVEL_INCHES = (2.45, 2.2)
PANEL_INCHES = (3.1, 2.7)
MARGIN = 0.03  # of the level, shown around it
ON_PADDING = OKABE_ITO[5]
OTHER_COLOUR = OKABE_ITO[4]
MOVED_FROM = 0.05  # pixels; references closer together than this are told as one place


def plot_token_references(
    references: Float[Tensor, "batch token level 2"],
    mask: Bool[Tensor, "batch token"],
    ratios: Float[Tensor, "batch level 2"],
    spatial_shapes: SpatialShapes,
    *,
    of_level: int,
    others: Float[Tensor, "batch token level 2"] | None = None,
) -> Figure:
    """Where the pixels of one level refer to, on every level: a row of panels for each image, a column for each level.

    references: x, y in [0, 1] of the padded levels. mask: True on padding. ratios: valid ratios (x, y); what lies
    beyond them is hatched. Pixels of `of_level` that are image have a green cross, those of padding a red one.
    others: drawn as circles, to compare with, for pixels of the image.
    Raises ValueError for a level that is not there.
    """
    if not 0 <= of_level < len(spatial_shapes):
        raise ValueError(f"plot_token_references: of_level is {of_level}, but there are {len(spatial_shapes)} levels")
    own, padded = split_levels(references, spatial_shapes)[of_level], split_levels(mask, spatial_shapes)[of_level]
    figure, axes = panels(len(references), len(spatial_shapes), LEVEL_INCHES)
    for image, row in enumerate(axes):
        for level, (ax, (height, width)) in enumerate(zip(row, spatial_shapes, strict=True)):
            _draw_level(ax, height, width, ratios[image, level])
            places = to_pixels(own[image, :, level], height, width)
            _mark(ax, places[~padded[image]], "+", REFERENCE_GREEN, "reference point")
            _mark(ax, places[padded[image]], "x", ON_PADDING, "reference of padding")
            if others is not None:
                circles = split_levels(others, spatial_shapes)[of_level][image, :, level]
                _mark(ax, to_pixels(circles, height, width)[~padded[image]], "o", OTHER_COLOUR, "other", size=13)
            ax.set_title(f"image {image}, level {level}: {height}×{width}", fontsize=FONT_SIZE, color=INK)
    return figure


def _draw_level(ax: Axes, height: int, width: int, ratio: Float[Tensor, "2"]) -> None:
    draw_grid(ax, height, width, ratio.tolist())
    ax.set(xlim=(-MARGIN * width, (1 + MARGIN) * width), ylim=((1 + MARGIN) * height, -MARGIN * height))


def _mark(ax: Axes, places: Float[Tensor, "n 2"], marker: str, colour: str, gid: str, size: int = 8) -> None:
    if len(places):
        style = {"color": colour, "markersize": size, "markeredgewidth": 1.8, "fillstyle": "none"}
        ax.plot(*places.T.numpy(), marker, **style, zorder=3, gid=gid)


def token_facts(figure: Figure) -> list[str]:
    """What `plot_token_references` drew, a sentence for each panel."""
    return [f"{ax.get_title()}: {', '.join(_token_facts(ax))}" for ax in figure.axes]


def _token_facts(ax: Axes) -> Iterator[str]:
    marks = {line.get_gid(): line.get_xydata() for line in ax.lines}
    places = marks["reference point"]
    yield f"{len(places)} of image, {len(marks.get('reference of padding', []))} of padding"
    yield f"the image's last at ({places[-1, 0]:.2f}, {places[-1, 1]:.2f}) px"
    if "other" in marks:
        distance = np.linalg.norm(marks["other"] - places, axis=1).max()
        yield "circles on the crosses" if distance < MOVED_FROM else f"circles up to {distance:.2f} px away"


def plot_query_references(
    places: Mapping[str, Float[Tensor, "query 2"]],
    ratios: Mapping[str, Float[Tensor, "2"]],
    height: int,
    width: int,
) -> Figure:
    """Where object queries start on one level of height × width pixels, a panel for each entry; red on padding.

    places: x, y in [0, 1] of the padded level. ratios (of the same entries): the share (x, y) of it that is image.
    Raises ValueError if the entries differ or there are none.
    """
    if not places or places.keys() != ratios.keys():
        raise ValueError(
            "plot_query_references: places and ratios must have the same entries, at least one; got "
            f"{list(places)} and {list(ratios)}"
        )
    figure, axes = panels_on_a_page(len(places), PANEL_INCHES)
    for ax, (title, points) in zip(axes, places.items(), strict=True):
        _draw_level(ax, height, width, ratios[title])
        on_image = (points <= ratios[title]).all(-1)
        pixels = to_pixels(points.detach(), height, width)
        _mark(ax, pixels[on_image], ".", REFERENCE_GREEN, "on the image")
        _mark(ax, pixels[~on_image], ".", ON_PADDING, "on padding")
        ax.set_title(title, fontsize=FONT_SIZE, color=INK)
    return figure


def query_facts(figure: Figure) -> list[str]:
    """What `plot_query_references` drew, a sentence for each panel."""
    facts = []
    for ax in figure.axes:
        counts = {line.get_gid(): len(line.get_xdata()) for line in ax.lines}
        on_padding = counts.get("on padding", 0)
        facts.append(f"{ax.get_title()}: {sum(counts.values())} references, {on_padding} on padding")
    return facts
