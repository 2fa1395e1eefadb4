"""Pictures for "Reading between pixels": the surface between the pixels, and one row of it with its slope."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from defdetr_ref.explain.style import FONT_SIZE, INK, OKABE_ITO, ShownFigure, panels
from defdetr_ref.ops.loops import corners

SURFACE_INCHES = (5.6, 4.2)
ROW_PANEL_INCHES = (3.7, 2.9)
PER_PIXEL = 8  # points of the surface drawn for each pixel, along x and along y
BEYOND = 2  # pixels shown outside the first and the last pixel centre; from 1 on, all is zero
COLOURS = "cividis"
LEGEND_ROOM = 0.15  # of the panel, above the highest value
VALUE_COLOUR, CLAMPED_COLOUR, SLOPE_COLOUR = OKABE_ITO[4], OKABE_ITO[0], OKABE_ITO[5]


def read(image: Float[Tensor, "height width"], x: float | int, y: float | int) -> tuple[float, float]:
    """The bilinear value at (x, y), in pixels, and its slope ∂/∂x; both zero where no pixel is near."""
    value = slope_x = 0.0
    for row, column, share, slope, _ in corners(float(x), float(y), *image.shape):
        value += share * image[row, column].item()
        slope_x += slope * image[row, column].item()
    return value, slope_x


def plot_surface(image: Float[Tensor, "height width"]) -> Figure:
    """The map as a surface with a dot on every pixel centre, down to zero one pixel around them."""
    height, width = image.shape
    x = np.linspace(-1, width, (width + 1) * PER_PIXEL + 1)
    y = np.linspace(-1, height, (height + 1) * PER_PIXEL + 1)
    values = np.array([[read(image, across, down)[0] for across in x] for down in y])
    figure = ShownFigure(figsize=SURFACE_INCHES, layout="constrained")
    ax = figure.add_subplot(projection="3d")
    ax.plot_surface(*np.meshgrid(x, y), values, cmap=COLOURS, rstride=1, cstride=1, linewidth=0, antialiased=False)
    for row, numbers in enumerate(image.tolist()):
        ax.plot(range(width), [row] * width, numbers, "o", color=INK, markersize=3, gid="pixels", zorder=10)
    for row in range(height):  # a line along each row of pixels, straight from one to the next
        ax.plot(x, np.full_like(x, row), values[(row + 1) * PER_PIXEL], color=INK, linewidth=0.7, gid="row", zorder=9)
    ax.set(xlabel="x", ylabel="y", ylim=(height, -1), xticks=range(-1, width + 1), yticks=range(-1, height + 1))
    ax.tick_params(labelsize=FONT_SIZE - 2, pad=0)
    ax.view_init(elev=42, azim=-62)
    return figure


def surface_facts(figure: Figure) -> list[str]:
    """What `plot_surface` drew."""
    (ax,) = figure.axes
    pixels = np.stack([line.get_data_3d()[2] for line in ax.lines if line.get_gid() == "pixels"])
    rows = np.stack([line.get_data_3d()[2] for line in ax.lines if line.get_gid() == "row"])
    on_pixels = rows[:, PER_PIXEL:-PER_PIXEL:PER_PIXEL]
    return [
        f"{pixels.shape[0]}×{pixels.shape[1]} pixel centres from {pixels.min():.2f} to {pixels.max():.2f}",
        f"the surface goes through all of them: {np.allclose(pixels, on_pixels)}",
        f"highest point of the surface is a pixel: {np.isclose(rows.max(), pixels.max())}",
        f"one pixel outside the map it is zero: {bool((rows[:, [0, -1]] == 0).all())}",
    ]


def plot_row(image: Float[Tensor, "height width"], y: float | int) -> Figure:
    """Along one row of places, value and slope ∂/∂x, from two pixels before the map to two behind it.

    Dashed: the value if the border were clamped, that is, if the border pixels went on for ever.
    """
    width = image.shape[1]
    x = np.linspace(-BEYOND, width - 1 + BEYOND, (width - 1 + 2 * BEYOND) * PER_PIXEL + 1)
    clamped = [read(image, min(max(place, 0.0), width - 1.0), y)[0] for place in x.tolist()]
    figure, axes = panels(1, 2, ROW_PANEL_INCHES)
    left, right = axes[0]
    left.plot(x, clamped, "--", color=CLAMPED_COLOUR, linewidth=2, gid="clamped", label="border clamped")
    values = [read(image, place, y)[0] for place in x.tolist()]
    left.plot(x, values, color=VALUE_COLOUR, gid="value", label="border zero")
    centres = [(column, read(image, column, y)[0]) for column in range(width)]
    left.plot(*zip(*centres, strict=True), "o", color=INK, markersize=4, gid="pixels")
    left.margins(y=LEGEND_ROOM)
    left.legend(fontsize=FONT_SIZE - 2, frameon=False, loc="upper center", ncols=2)
    for start in range(-BEYOND, width - 1 + BEYOND):  # constant from one pixel centre to the next
        slope = read(image, start + 0.5, y)[1]
        right.plot([start, start + 1], [slope, slope], color=SLOPE_COLOUR, linewidth=2.5, gid="slope")
    right.axhline(0, color=INK, linewidth=0.6)
    for ax, title in ((left, f"value at y = {y:g}"), (right, "slope ∂/∂x")):
        ax.axvspan(-0.5, width - 0.5, color="#EEEEEE", zorder=0, gid="map")
        ax.set_title(title, fontsize=FONT_SIZE, color=INK)
        ax.set_xlabel("x, pixels (grey: the map)", fontsize=FONT_SIZE - 1)
        ax.tick_params(labelsize=FONT_SIZE - 2)
        ax.set_xticks(range(-BEYOND, width + BEYOND))
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def row_facts(figure: Figure) -> list[str]:
    """What `plot_row` drew."""
    left, right = figure.axes
    facts = ((left, _value_facts(left)), (right, _slope_facts(right)))
    return [f"{ax.get_title()}: {', '.join(sentences)}" for ax, sentences in facts]


def _value_facts(ax: Axes) -> Iterator[str]:
    (value,), (clamped,) = ([line for line in ax.lines if line.get_gid() == gid] for gid in ("value", "clamped"))
    (pixels,) = (line.get_xdata() for line in ax.lines if line.get_gid() == "pixels")
    x, drawn = value.get_data()
    first, last = pixels[0], pixels[-1]
    at_edge, at_pixel = drawn[x == first - 0.5].item(), drawn[x == first].item()
    yield f"at the map's edge x = {first - 0.5:g} {at_edge / at_pixel:.2f} of the first pixel"
    seen = x[drawn != 0]
    yield f"zero up to x = {seen.min() - 1 / PER_PIXEL:g} and from x = {seen.max() + 1 / PER_PIXEL:g} on"
    inside = (x >= first) & (x <= last)
    yield f"same as clamped from pixel to pixel: {np.allclose(drawn[inside], clamped.get_ydata()[inside])}"


def _slope_facts(ax: Axes) -> Iterator[str]:
    pieces = np.array([line.get_ydata()[0] for line in ax.lines if line.get_gid() == "slope"])
    yield f"{len(pieces)} flat pieces"
    yield f"{int((np.abs(np.diff(pieces)) > 1e-6).sum())} jumps between them"
    yield f"{int((pieces == 0).sum())} pieces without any slope"
