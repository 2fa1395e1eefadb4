"""The picture of how many tokens an object gets: one image, cut into the cells of each stride."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from defdetr_ref.explain.sampling import Picture
from defdetr_ref.explain.style import FONT_SIZE, INK, OKABE_ITO, displayable, draw_box, panels, show_image

PANEL_INCHES = (2.45, 2.2)
BRIGHTNESS = 0.75
CELL_COLOUR, BOX_COLOUR = OKABE_ITO[3], OKABE_ITO[5]


def plot_tokens(image: Picture, box: Sequence[float], strides: Sequence[int]) -> Figure:
    """The image in a panel for each stride, under the grid of that stride's tokens; one object's box, and its tokens.

    box: xyxy in pixels. A token counts as the object's if the middle of its cell lies in the box.
    Raises ValueError without strides.
    """
    if len(strides) == 0:
        raise ValueError("plot_tokens: there is nothing to draw; give at least one stride")
    height, width = displayable(image).shape[:2]
    figure, axes = panels(1, len(strides), PANEL_INCHES)
    for ax, stride in zip(axes[0], strides, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)  # rounded up, as strided convolutions do
        show_image(ax, image, brightness=BRIGHTNESS)
        upright = [((x, 0), (x, height)) for x in range(stride, width, stride)]
        across = [((0, y), (width, y)) for y in range(stride, height, stride)]
        ax.add_collection(LineCollection(upright + across, colors="white", linewidths=0.4, alpha=0.6, gid="grid"))
        cells = [(row, column) for row in range(rows) for column in range(columns)]
        for row, column in cells:
            if _middle_inside(row, column, stride, box):
                ax.add_patch(
                    Rectangle(
                        (column * stride, row * stride), stride, stride, facecolor=CELL_COLOUR, edgecolor=INK,
                        linewidth=0.6, alpha=0.7, gid="token",
                    )
                )  # fmt: skip
        draw_box(ax, box, BOX_COLOUR)
        ax.set_title(f"stride {stride}: {rows}×{columns} tokens", fontsize=FONT_SIZE, color=INK)
    return figure


def _middle_inside(row: int, column: int, stride: int, box: Sequence[float]) -> bool:
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    left, top, right, bottom = box
    return left <= x < right and top <= y < bottom


def token_facts(figure: Figure) -> list[str]:
    """What `plot_tokens` drew, a sentence for each stride."""
    return [f"{ax.get_title()}, {_tokens_drawn(ax)} in the box" for ax in figure.axes]


def _tokens_drawn(ax: Axes) -> int:
    return sum(patch.get_gid() == "token" for patch in ax.patches)
