"""How every figure of this package looks: one palette, one way to show an image, one way to draw a box.

Figures are `matplotlib.figure.Figure` objects that pyplot knows nothing of: nothing has to be closed,
`figure.savefig(path)` works on a machine without a screen, and a notebook shows one that is the last line of a cell.

Everything is drawn in pixels of the image shown, with (0, 0) the outer corner of the top left pixel.
"""

import io
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image
from torch import Tensor

from defdetr_ref.data.transforms import denormalize

# Okabe and Ito (2008): eight colours that remain apart for colour-blind eyes. Black is kept for text.
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
REFERENCE_GREEN = "#009E73"  # the paper's green cross, in the palette's green
WEIGHT_COLOURS = "cividis"  # light = much attention; the same order in grey and for colour-blind eyes
INK = "#222222"
FONT_SIZE = 9
PAGE_INCHES = 7.4  # what the site's column holds at 100 dots an inch; a wider figure is shrunk there, text and all
PALETTE = 256  # colours that a PNG of one byte a pixel can hold …
PALETTE_ERROR = 0.5  # … and it is stored so if its channels are off by less than this of 255, on average

# Of what is HTML: the colours of the page around it, which may be dark. The site has names for them, and JupyterLab
# has; a page that has neither is light.
PAGE_GROUND = "var(--color-background-primary, var(--jp-layout-color0, white))"
PAGE_PLATE = "var(--color-background-secondary, var(--jp-layout-color1, #f6f7f8))"
PAGE_LINE = "var(--color-background-border, var(--jp-border-color1, #c8c8c8))"
PAGE_INK = f"var(--color-foreground-primary, var(--jp-content-font-color1, {INK}))"

LUMINANCE_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue look
ROOM_FOR_TEXT = 0.1  # of the panel's height; a box that starts higher up has its caption inside …
CAPTION_GAP = 0.02  # … and this far below the panel's upper edge
CAPTION = "caption"  # gid of every box's text
REGION_MARGIN = 1.6  # a region is this many times as long as what it shows …
SMALLEST_REGION = 0.25  # … and at least this share of the image, so that one still sees where it is
DARK_TEXT_FROM = 0.55  # on colours brighter than this, dark text reads better than white


def category_colour(label: int) -> str:
    """The colour of a category, the same in every figure."""
    return OKABE_ITO[int(label) % len(OKABE_ITO)]


def text_colour(background: str) -> str:
    """Dark or white, whichever reads better on an #rrggbb background."""
    channels = [int(background[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    luminance = sum(weight * channel for weight, channel in zip(LUMINANCE_WEIGHTS, channels, strict=True))
    return INK if luminance > DARK_TEXT_FROM else "white"


def displayable(image: Tensor | np.ndarray | Image.Image) -> np.ndarray:
    """(height, width, 3) for imshow. A tensor is a model input, (3, height, width) and normalised: undo that.

    Raises ValueError for other shapes.
    """
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(
                f"image: a tensor must be (3, height, width), got {tuple(image.shape)}; pick one of the batch"
            )
        return denormalize(image.detach().cpu()).permute(1, 2, 0).numpy()
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"image: an array must be (height, width, 3), got {pixels.shape}")
    return pixels


class ShownFigure(Figure):
    """A figure that a notebook displays by itself, without `%matplotlib inline`."""

    def _repr_png_(self) -> bytes:
        content, stored = io.BytesIO(), io.BytesIO()
        self.savefig(content, format="png")
        drawn = Image.open(content).convert("RGB")
        few = drawn.quantize(PALETTE, dither=Image.Dither.NONE)
        error = np.abs(np.asarray(few.convert("RGB"), float) - np.asarray(drawn, float)).mean()
        (few if error < PALETTE_ERROR else drawn).save(stored, format="png", optimize=True)
        return stored.getvalue()


def panels(rows: int, columns: int, panel_size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """A figure with (rows, columns) axes of `panel_size` inches (width, height) each."""
    figure = ShownFigure(figsize=(columns * panel_size[0], rows * panel_size[1]), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def panels_on_a_page(count: int, panel_size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes of `panel_size` inches, in as many rows of one length as keep it on the page."""
    rows = -(-count // max(1, int(PAGE_INCHES / panel_size[0])))
    figure, axes = panels(rows, -(-count // rows), panel_size)
    shown, left_over = axes.flat[:count], axes.flat[count:]
    for ax in left_over:
        ax.remove()
    return figure, list(shown)


def show_image(
    ax: Axes,
    image: Tensor | np.ndarray | Image.Image,
    title: str = "",
    *,
    brightness: float = 1.0,
    region: Sequence[float] | None = None,
) -> tuple[int, int]:
    """Draw the image, without ticks, so that data coordinates are its pixels. Returns (height, width) of all of it.

    brightness: below 1, the image is darkened, so that what is drawn over it stands out.
    region: (left, top, right, bottom) in pixels, to show only this part.
    """
    pixels = displayable(image)
    height, width = pixels.shape[:2]
    ax.set_facecolor("black")  # shines through a darkened image
    ax.imshow(pixels, extent=(0, width, height, 0), interpolation="nearest", alpha=brightness, gid="image")
    left, top, right, bottom = region or (0, 0, width, height)
    ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    ax.set_title(title, fontsize=FONT_SIZE, color=INK)
    return height, width


def region_around(boxes: Float[Tensor, "box 4"], height: int, width: int) -> list[float]:
    """The part of an image, in its own proportions, that holds all xyxy boxes and some of what is around them."""
    size = torch.tensor([width, height], dtype=torch.float32)
    low, high = boxes[:, :2].amin(0).clamp(min=0), boxes[:, 2:].amax(0).minimum(size)
    share = float(((high - low) / size).max() * REGION_MARGIN)
    region_size = size * min(max(share, SMALLEST_REGION), 1.0)
    corner = ((low + high - region_size) / 2).clamp(min=0).minimum(size - region_size)
    return [*corner.tolist(), *(corner + region_size).tolist()]


def draw_box(
    ax: Axes,
    box: Sequence[float] | Float[Tensor, "4"],
    colour: str,
    caption: str = "",
    *,
    dashed: bool = False,
    gid: str = "box",
) -> None:
    """Draw an xyxy box in pixels, with its caption on a plate of the same colour just above (or inside, at the top).

    A caption there that would cover one of an earlier box goes below the box, or inside it.
    """
    left, top, right, bottom = (float(edge) for edge in box)
    outline = Rectangle(
        (left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.5, gid=gid,
        linestyle="--" if dashed else "-", path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.7)],
    )  # fmt: skip
    ax.add_patch(outline)
    if not caption:
        return
    (first_x, last_x), (last_y, first_y) = ax.get_xlim(), ax.get_ylim()
    panel_height = last_y - first_y
    above = top > first_y + ROOM_FOR_TEXT * panel_height
    below = bottom < last_y - ROOM_FOR_TEXT * panel_height
    leftwards = left > (first_x + last_x) / 2  # a text that starts in the right half would run out of the picture
    gap = CAPTION_GAP * panel_height
    upper, lower = max(top, first_y + gap), min(bottom, last_y - gap)
    places = [(upper, "bottom" if above else "top")]
    places += [(lower, "top")] if below else []
    places += [(lower - gap, "bottom"), (upper + gap, "top")]
    earlier = [text for text in ax.texts if text.get_gid() == CAPTION]
    written = ax.text(
        min(right, last_x) if leftwards else max(left, first_x), 0, caption,
        horizontalalignment="right" if leftwards else "left", gid=CAPTION,
        fontsize=FONT_SIZE - 2, color=text_colour(colour), clip_on=True,
        bbox={"boxstyle": "square,pad=0.15", "facecolor": colour, "edgecolor": "none", "alpha": 0.85},
    )  # fmt: skip
    for y, alignment in [*places, places[0]]:
        written.set(y=y, verticalalignment=alignment)
        if not any(written.get_window_extent().overlaps(text.get_window_extent()) for text in earlier):
            break


def finish_chart(ax: Axes, title: str, along: str, upwards: str = "") -> None:
    """Title, names of the axes, a faint grid, and a legend if something has a label."""
    ax.set_title(title, fontsize=FONT_SIZE, color=INK)
    ax.set_xlabel(along, fontsize=FONT_SIZE - 1)
    ax.set_ylabel(upwards, fontsize=FONT_SIZE - 1)
    ax.tick_params(labelsize=FONT_SIZE - 1)
    ax.grid(alpha=0.3, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=FONT_SIZE - 2, frameon=False)
