"""The picture of a bilinear read: four pixels, the areas that are their shares, and a point that can be dragged."""

import json
import math
from html import escape
from importlib.resources import files
from string import Template

from jaxtyping import Float
from torch import Tensor

from defdetr_ref.explain.style import INK, OKABE_ITO, PAGE_GROUND, PAGE_INK, text_colour
from defdetr_ref.ops.loops import corners

CELL = 56  # of the drawing's own units, for a pixel of the map
TEXT_WIDTH = 240  # px, of the numbers: to the right of the map, or below it where there is no room
GAP = 14
TOUCH_RADIUS = 24  # around the point, so that a finger takes hold of it also where the picture is small
CORNER_COLOURS = (OKABE_ITO[0], OKABE_ITO[1], OKABE_ITO[2], OKABE_ITO[6])  # top left, top right, bottom left and right
DARKEST, BRIGHTEST = 70, 245  # of 255: neither black nor white, so that all that lies above the map is seen
HOW_TO = "Drag the point, or click and use the arrow keys."

PAGE = Template("""<div class="defdetr-areas" data-values="$values" data-cell="$cell" data-x="$x" data-y="$y" \
data-lm-suppress-shortcuts="true" style="max-width:${width}px">
<style>
.defdetr-areas { display: flex; flex-wrap: wrap; gap: 8px ${gap}px; background: $ground; color: $ink;
  font: 14px/26px "DejaVu Sans", sans-serif; }
.defdetr-areas svg { flex: 1 1 ${map_width}px; min-width: 0; max-width: ${map_width}px; cursor: crosshair; }
.defdetr-areas .point { cursor: grab; }
.defdetr-areas .numbers { flex: 1 0 ${text_width}px; }
.defdetr-areas .numbers span { white-space: pre; }
.defdetr-areas .dot { display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 50%; }
.defdetr-areas .how { margin-top: 13px; line-height: 18px; }
</style>
<svg viewBox="0 0 $map_width $map_height">
$drawing
</svg>
<div class="numbers">
$numbers
</div>
<script>
$script</script>
</div>
""")


def areas_picture(image: Float[Tensor, "height width"], x: float | int, y: float | int) -> str:
    """A small map of values in [0, 1], read at (x, y), as HTML that works in a notebook and in a saved page.

    x, y: in pixels, pixel centres at whole numbers, at most one pixel outside the map. The dashed ring of pixels around
    the map reads as zero. Without JavaScript the picture stays as it is. Needs no network.

    Raises ValueError for a point farther out.
    """
    height, width = image.shape
    if not (-1 <= x <= width and -1 <= y <= height):
        raise ValueError(
            f"areas_picture: ({x:g}, {y:g}) is more than a pixel outside a map of {height}×{width} pixels; "
            f"choose x from -1 to {width} and y from -1 to {height}"
        )
    values = [[round(value, 2) for value in row] for row in image.tolist()]
    drawing, numbers = _read(values, x, y)
    return PAGE.substitute(
        values=escape(json.dumps(values)),
        cell=CELL,
        x=x,
        y=y,
        map_width=(width + 2) * CELL,
        map_height=(height + 2) * CELL,
        text_width=TEXT_WIDTH,
        gap=GAP,
        width=(width + 2) * CELL + GAP + TEXT_WIDTH,
        ground=PAGE_GROUND,
        ink=PAGE_INK,
        drawing="\n".join([*_map(values), *drawing]),
        numbers="\n".join(numbers),
        script=files("defdetr_ref.course.figures").joinpath("areas.js").read_text(encoding="utf-8"),
    )


def _map(values: list[list[float]]) -> list[str]:
    """The pixels in grey with their values, and the ring around them."""
    ring = f'<rect x="1" y="1" width="{(len(values[0]) + 2) * CELL - 2}" height="{(len(values) + 2) * CELL - 2}"'
    drawn = [f'{ring} fill="none" stroke="#999999" stroke-dasharray="4 4"/>']
    for row, numbers in enumerate(values):
        for column, value in enumerate(numbers):
            grey = "#" + 3 * f"{round(DARKEST + (BRIGHTEST - DARKEST) * value):02x}"
            left, top = (column + 1) * CELL, (row + 1) * CELL
            drawn.append(
                f'<rect x="{left}" y="{top}" width="{CELL}" height="{CELL}" fill="{grey}" stroke="white" class="map"/>'
                f'<text x="{left + 5}" y="{top + 16}" font-size="14" fill="{text_colour(grey)}">{value:.2f}</text>'
            )
    return drawn


def _read(values: list[list[float]], x: float | int, y: float | int) -> tuple[list[str], list[str]]:
    """The four areas, the four pixels and the point; and the sum in words. The script moves these by their classes."""
    height, width = len(values), len(values[0])
    left, top = min(math.floor(x), width - 1), min(math.floor(y), height - 1)
    shares = {(row, column): share for row, column, share, _, _ in corners(float(x), float(y), height, width)}
    areas, pixels, lines, total = [], [], [], 0.0
    for corner, colour in enumerate(CORNER_COLOURS):
        below, right = divmod(corner, 2)
        row, column = top + below, left + right
        share = (x - left if right else left + 1 - x) * (y - top if below else top + 1 - y)
        inside = 0 <= row < height and 0 <= column < width
        value = values[row][column] if inside else 0.0
        total += shares.get((row, column), 0.0) * value
        across = (left, x) if right else (x, left + 1)  # the area lies opposite to its pixel
        down = (top, y) if below else (y, top + 1)
        areas.append(_area(corner, colour, across, down))
        pixels.append(
            f'<circle class="pixel-{corner}" cx="{(column + 1.5) * CELL:g}" cy="{(row + 1.5) * CELL:g}" r="7" '
            f'fill="{colour}" stroke="white" stroke-width="2"/>'
        )
        where = f"pixel ({column}, {row})" if inside else "outside"
        dot = f'<span class="dot" style="background:{colour}"></span>'
        words = f"{share:.2f} × {value:.2f}   {where}"
        lines.append(f'<div>{dot}<span class="line-{corner}">{words}</span></div>')
    lines.insert(0, f'<div class="where">x = {x:.2f}, y = {y:.2f}</div>')
    lines += [f'<div class="sum">= {total:.3f}</div>', f'<div class="how">{HOW_TO}</div>']
    return [*areas, *pixels, _point(x, y)], lines


def _area(
    corner: int, colour: str, across: tuple[float | int, float | int], down: tuple[float | int, float | int]
) -> str:
    """From the first to the second number of `across` and `down`, in pixels of the map."""
    (left, right), (top, bottom) = across, down
    return (
        f'<rect class="area-{corner}" x="{(left + 1.5) * CELL:g}" y="{(top + 1.5) * CELL:g}" '
        f'width="{(right - left) * CELL:g}" height="{(bottom - top) * CELL:g}" fill="{colour}" fill-opacity="0.8" '
        'stroke="white"/>'
    )


def _point(x: float | int, y: float | int) -> str:
    return (
        f'<g class="point" tabindex="0" role="img" aria-label="the point that is read; arrow keys move it" '
        f'transform="translate({(x + 1.5) * CELL:g} {(y + 1.5) * CELL:g})">'
        f'<circle r="{TOUCH_RADIUS}" fill="transparent"/>'
        f'<circle r="8" fill="white" stroke="{INK}" stroke-width="2"/><circle r="2" fill="{INK}"/></g>'
    )
