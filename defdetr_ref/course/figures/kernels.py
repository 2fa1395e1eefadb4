"""Pictures for "Write the kernel": the threads of a warp, what each reads, and from which lines of memory."""

from collections.abc import Iterator, Sequence

import numpy as np
from defdetr_cuda.trace import LINE_BYTES, WARP, Step, Trace
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from defdetr_ref.explain.style import FONT_SIZE, INK, OKABE_ITO, panels, text_colour

CELL_INCHES = (0.46, 0.16)
MARGIN_INCHES = (0.75, 0.7)
MOST_COLUMNS = 24  # more would not be readable
ROOM_BELOW = 1.4  # rows, for the number of lines


def plot_warp(
    trace: Trace, arrays: str | Sequence[str], *, kind: str = "read", block: int = 0, warp: int = 0, first: int = 0,
    last: int | None = None,
) -> Figure:  # fmt: skip
    """Rows: the threads of a warp. Columns: steps. A cell holds the value, its colour is the 128-byte line it lies in.

    Colours go through the palette line by line, and a number under each column says how many lines the step touches.
    first, last: which of the steps to show. Raises ValueError if there is none, or too many for one picture.
    """
    wanted = [arrays] if isinstance(arrays, str) else list(arrays)
    steps = [step for step in trace.steps(kind, block=block, warp=warp) if step.first.array in wanted][first:last]
    if not steps:
        raise ValueError(f"warp {warp} of block {block} has no {kind} of {', '.join(wanted)} in these steps")
    if len(steps) > MOST_COLUMNS:
        raise ValueError(f"{len(steps)} steps are too many for one picture; choose {MOST_COLUMNS} by first= and last=")
    rows = min(WARP, trace.threads - warp * WARP)
    size = CELL_INCHES[0] * len(steps) + MARGIN_INCHES[0], CELL_INCHES[1] * rows + MARGIN_INCHES[1]
    figure, axes = panels(1, 1, size)
    ax = axes[0, 0]
    for column, step in enumerate(steps):
        _draw_step(ax, column, step, rows)
    ax.set(xlim=(0, len(steps)), ylim=(rows + ROOM_BELOW, 0))
    labelled = range(0, rows, 4)
    names = [*(warp * WARP + row for row in labelled), "lines"]
    ax.set_yticks([*(row + 0.5 for row in labelled), rows + ROOM_BELOW / 2], names)
    ax.set_xticks([column + 0.5 for column in range(len(steps))], [step.first.array for step in steps])
    ax.xaxis.tick_top()
    ax.tick_params(labelsize=FONT_SIZE - 2, length=0)
    for label in ax.get_xticklabels():
        label.set(rotation=30, horizontalalignment="left")
    ax.set_ylabel("thread", fontsize=FONT_SIZE - 1)
    ax.spines[:].set_visible(False)
    return figure


def _draw_step(ax: Axes, column: int, step: Step, rows: int) -> None:
    for lane, access in step.lanes.items():
        line = access.address // LINE_BYTES
        colour = OKABE_ITO[line % len(OKABE_ITO)]
        ax.add_patch(Rectangle((column + 0.03, lane), 0.94, 1, color=colour, linewidth=0, gid=f"line {line}"))
        ax.text(column + 0.5, lane + 0.52, _shown(access.value), fontsize=FONT_SIZE - 2, color=text_colour(colour),
                horizontalalignment="center", verticalalignment="center", gid=f"value {column} {lane}")  # fmt: skip
    ax.text(column + 0.5, rows + ROOM_BELOW / 2, str(len(step.lines)), fontsize=FONT_SIZE - 1, color=INK, weight="bold",
            horizontalalignment="center", verticalalignment="center", gid="lines")  # fmt: skip


def _shown(value: float | int | np.generic) -> str:
    return f"{value:.2f}" if isinstance(value, float | np.floating) else str(value)


def warp_facts(figure: Figure) -> Iterator[str]:
    """What `plot_warp` drew."""
    (ax,) = figure.axes
    counts = [text.get_text() for text in ax.texts if text.get_gid() == "lines"]
    cells = [patch.get_gid() for patch in ax.patches]
    silent = set(range(round(ax.get_ylim()[0] - ROOM_BELOW))) - {int(patch.get_y()) for patch in ax.patches}
    yield f"{len(counts)} steps of a warp, {len(cells)} accesses, {len(silent)} threads without any"
    yield f"lines of {LINE_BYTES} bytes touched in each step: {' '.join(counts)}"
