"""Pictures for "Relatives": attention as one N×N matrix, and what one query takes from the map."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from defdetr_ref.explain.style import FONT_SIZE, INK, OKABE_ITO, panels_on_a_page

MATRIX_INCHES = (3.1, 3.5)
MAP_INCHES = (3.1, 2.4)
MOST_IN_PAIRS = 4  # panels; if there are more, they are smaller and three in a row
SMALLER = 0.79
COLOURS = "cividis_r"  # dark = much; nothing at all stays white
QUERY_COLOUR = OKABE_ITO[5]
GRID = "#DDDDDD"
COLOUR_POWER = 0.5  # colours go by the root: 1 % of the largest number still looks like something
NOTHING = 1e-6  # of a row, which sums to 1 at most; less is rounding
FRAME_SHARE = 0.8  # of a pixel's side
POINTS_PER_INCH = 72
SMALLEST_SINGULAR_VALUE = 1e-6  # of the largest; a smaller one is rounding


def plot_matrices(matrices: Mapping[str, Float[Tensor, "query key"]]) -> Figure:
    """How much each query (row) takes from each key (column), a panel for each entry. What is zero stays white.

    All panels have one colour scale, from 0 to the largest number of all. Raises ValueError without entries.
    """
    figure, axes = _draw(matrices, MATRIX_INCHES)
    for ax in axes:
        ax.set_xlabel("key", fontsize=FONT_SIZE - 1)
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel("query", fontsize=FONT_SIZE - 1)
    return figure


def plot_row(matrices: Mapping[str, Float[Tensor, "query key"]], query: int, height: int, width: int) -> Figure:
    """Row `query` of each matrix, laid out as the map that it reads, with the query's own pixel framed.

    Tokens are the pixels of a map of height × width, row by row; the colours are those of `plot_matrices`. Raises
    ValueError without entries, or if they are not as many.
    """
    for title, matrix in matrices.items():
        if matrix.shape[1] != height * width:
            raise ValueError(f"plot_row: {title!r} has {matrix.shape[1]} keys, not {height}·{width} = {height * width}")
    maps = {title: matrix[query].unflatten(0, (height, width)) for title, matrix in matrices.items()}
    figure, axes = _draw(maps, MAP_INCHES)
    map_width, map_height = _panel_inches(len(maps), MAP_INCHES)
    frame_side = FRAME_SHARE * POINTS_PER_INCH * min(map_width / width, map_height / height)
    for ax in axes:
        ax.vlines(np.arange(1, width) - 0.5, -0.5, height - 0.5, colors=GRID, linewidths=0.5)
        ax.hlines(np.arange(1, height) - 0.5, -0.5, width - 0.5, colors=GRID, linewidths=0.5)
        row, column = divmod(query, width)
        frame = dict(color=QUERY_COLOUR, markersize=frame_side, markeredgewidth=2, fillstyle="none")
        ax.plot([column], [row], "s", **frame, gid="query")
    return figure


def _draw(
    pictures: Mapping[str, Float[Tensor, "row column"]], inches: tuple[float, float]
) -> tuple[Figure, list[Axes]]:
    """A panel for each entry, and one scale of colours for all of them."""
    if not pictures:
        raise ValueError("there is nothing to draw; give at least one matrix")
    figure, axes = panels_on_a_page(len(pictures), _panel_inches(len(pictures), inches))
    colours = PowerNorm(COLOUR_POWER, vmin=0, vmax=max(numbers.max().item() for numbers in pictures.values()))
    for ax, (title, numbers) in zip(axes, pictures.items(), strict=True):
        seen = np.ma.masked_less(numbers.detach().numpy(), NOTHING)
        picture = ax.imshow(seen, cmap=COLOURS, norm=colours, interpolation="nearest", gid="numbers")
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=FONT_SIZE, color=INK)
    bar = figure.colorbar(picture, ax=axes, fraction=0.05, pad=0.01, ticks=MaxNLocator(4))
    bar.ax.tick_params(labelsize=FONT_SIZE - 1)
    return figure, axes


def _panel_inches(count: int, inches: tuple[float, float]) -> tuple[float, float]:
    scale = 1 if count <= MOST_IN_PAIRS else SMALLER
    return scale * inches[0], scale * inches[1]


def _with_numbers(figure: Figure) -> list[Axes]:
    """Its panels, without the bar of colours."""
    return [ax for ax in figure.axes if any(image.get_gid() == "numbers" for image in ax.images)]


def _drawn(ax: Axes) -> np.ndarray:
    """The numbers in a panel, with zeros where it is white."""
    (picture,) = (image for image in ax.images if image.get_gid() == "numbers")
    return np.ma.filled(picture.get_array(), 0)


def matrix_facts(figure: Figure) -> list[str]:
    """What `plot_matrices` drew, a sentence for each panel."""
    return [f"{ax.get_title()}: {', '.join(_matrix_facts(_drawn(ax)))}" for ax in _with_numbers(figure)]


def _matrix_facts(matrix: np.ndarray) -> Iterator[str]:
    counts = (matrix != 0).sum(1)
    number = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    yield f"{matrix.shape[0]}×{matrix.shape[1]}"
    yield f"{number} keys for each query"
    yield f"{100 * (matrix != 0).mean():.0f} % not zero"
    yield f"rank {rank(torch.from_numpy(matrix))}"


def rank(matrix: Float[Tensor, "query key"]) -> int:
    """How many rows it takes to make all others from them."""
    return int(torch.linalg.matrix_rank(matrix.double(), rtol=SMALLEST_SINGULAR_VALUE))


def row_facts(figure: Figure) -> list[str]:
    """What `plot_row` drew, a sentence for each panel."""
    facts = []
    for ax in _with_numbers(figure):
        (frame,) = (line.get_xydata()[0] for line in ax.lines if line.get_gid() == "query")
        rows, columns = np.nonzero(_drawn(ax))
        reach = np.maximum(abs(columns - frame[0]), abs(rows - frame[1])).max()
        facts.append(f"{ax.get_title()}: {len(rows)} pixels, the farthest {reach:.0f} away")
    return facts
