"""The picture of a bilinear read: four pixels, the areas that are their shares, and a point that can be dragged."""

import json
import math
from html import escape
from importlib.resources import files
from string import Template

from jaxtyping import Float
from torch import Tensor

from defdetr_ref.explain.style import INK, OKABE_ITO, text_colour
from defdetr_ref.ops.loops import corners

CELL = 56  # of the drawing's own units, for a pixel of the map
TEXT_WIDTH = 240  # of the column of numbers on the right
CORNER_COLOURS = (OKABE_ITO[0], OKABE_ITO[1], OKABE_ITO[2], OKABE_ITO[6])  # top left, top right, bottom left and right
DARKEST, BRIGHTEST = 70, 245  # of 255: neither black nor white, so that all that lies above the map is seen
HOW_TO = ("Drag the point, or click", "and use the arrow keys.")

PAGE = Template("""<div class="defdetr-areas" data-values="$values" data-cell="$cell" data-x="$x" data-y="$y" \
data-lm-suppress-shortcuts="true" style="max-width:${width}px">
<svg viewBox="0 0 $width $height" style="background:white;touch-action:none;cursor:crosshair" \
font-family="DejaVu Sans, sans-serif" font-size="14" fill="$ink">
$drawing
</svg>
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
    drawing = [*_map(values), *_read(values, x, y)]
    return PAGE.substitute(
        values=escape(json.dumps(values)),
        cell=CELL,
        x=x,
        y=y,
        width=(width + 2) * CELL + TEXT_WIDTH,
        height=(height + 2) * CELL,
        ink=INK,
        drawing="\n".join(drawing),
        script=files("defdetr_ref.course.figures").joinpath("areas.js").read_text(encoding="utf-8"),
    )


def _map(values: list[list[float]]) -> list[str]:
    """The pixels in grey with their values, and the ring around them."""
    ring = f'<rect x="1" y="1" width="{(len(values[0]) + 2) * CELL - 2}" height="{(len(values) + 2) * CELL - 2}"'
    drawn = [f'{ring} fill="#FAFAFA" stroke="#999999" stroke-dasharray="4 4"/>']
    for row, numbers in enumerate(values):
        for column, value in enumerate(numbers):
            grey = "#" + 3 * f"{round(DARKEST + (BRIGHTEST - DARKEST) * value):02x}"
            left, top = (column + 1) * CELL, (row + 1) * CELL
            drawn.append(
                f'<rect x="{left}" y="{top}" width="{CELL}" height="{CELL}" fill="{grey}" stroke="white" class="map"/>'
                f'<text x="{left + 5}" y="{top + 14}" font-size="11" fill="{text_colour(grey)}">{value:.2f}</text>'
            )
    return drawn


def _read(values: list[list[float]], x: float | int, y: float | int) -> list[str]:
    """The four areas, the four pixels, the point, and the sum in words; the script moves these by their classes."""
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
        lines.append(_line(f"line-{corner}", 2 + corner, f"{share:.2f} × {value:.2f}   {where}", width, colour))
    lines.append(_line("where", 1, f"x = {x:.2f}, y = {y:.2f}", width))
    lines.append(_line("sum", 6, f"= {total:.3f}", width))
    lines += [_line("how", number, words, width, size=12) for number, words in enumerate(HOW_TO, start=8)]
    return [*areas, *pixels, _point(x, y), *lines]


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
        f'<circle r="8" fill="white" stroke="{INK}" stroke-width="2"/><circle r="2" fill="{INK}"/></g>'
    )


def _line(name: str, number: int, words: str, width: int, colour: str | None = None, size: int = 14) -> str:
    """A line of the text on the right, with a dot in its pixel's colour."""
    left, base = (width + 2) * CELL + 14, 26 * number
    dot = "" if colour is None else f'<circle cx="{left + 4}" cy="{base - 5}" r="5" fill="{colour}"/>'
    indent = 0 if colour is None else 16
    text = f'<text class="{name}" x="{left + indent}" y="{base}" font-size="{size}" xml:space="preserve">{words}</text>'
    return dot + text
