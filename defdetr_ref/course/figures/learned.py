"""Charts for questions to a trained detector: shares side by side, and how something goes with something else."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from defdetr_ref.explain.style import FONT_SIZE, INK, OKABE_ITO, finish_chart, panels

CHART_INCHES = (5.4, 3.0)
COLOURS = (OKABE_ITO[4], OKABE_ITO[0], OKABE_ITO[2], OKABE_ITO[6], OKABE_ITO[1], INK)
ALL_BARS = 0.8  # of the distance from one group of bars to the next


def plot_bars(
    groups: Mapping[str, Sequence[float]],
    names: Sequence[str],
    title: str,
    upwards: str,
    *,
    top: float | int | None = None,
) -> Figure:
    """A group of bars for each entry, one bar for each name, all on one scale.

    groups: what stands below a group → its numbers, as many as there are names.
    names: what the legend says of each bar of a group.
    title, upwards: of the chart, and of its upright axis.
    top: where that axis ends; by default, above the longest bar.

    Raises ValueError without groups, or if one has another number of bars.
    """
    if not groups or any(len(values) != len(names) for values in groups.values()):
        lengths = {group: len(values) for group, values in groups.items()}
        raise ValueError(f"plot_bars: each group needs {len(names)} numbers, one for each name; got {lengths}")
    figure, axes = panels(1, 1, CHART_INCHES)
    ax = axes[0, 0]
    width = ALL_BARS / len(names)
    for number, name in enumerate(names):
        places = np.arange(len(groups)) + (number - (len(names) - 1) / 2) * width
        heights = [float(values[number]) for values in groups.values()]
        ax.bar(places, heights, 0.92 * width, color=COLOURS[number % len(COLOURS)], label=name, gid="bar")
    ax.set_xticks(range(len(groups)), groups)
    ax.set_ylim(0, top)
    finish_chart(ax, title, "", upwards)
    ax.legend(fontsize=FONT_SIZE - 2, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))  # beside the bars
    return figure


def plot_lines(
    lines: Mapping[str, Mapping[float | int, float]],
    title: str,
    along: str,
    upwards: str,
    *,
    upright: float | int | None = None,
) -> Figure:
    """A line with dots for each entry, from 0 upwards.

    lines: what the legend says → the place along the chart → how high.
    title, along, upwards: of the chart and its axes.
    upright: where along the chart a dashed line stands.

    Raises ValueError without lines.
    """
    if not lines:
        raise ValueError("plot_lines: there is nothing to draw; give at least one line")
    figure, axes = panels(1, 1, CHART_INCHES)
    ax = axes[0, 0]
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        ax.plot(list(points), list(points.values()), "o-", color=colour, label=name, markersize=4, gid="line")
    if upright is not None:
        ax.axvline(upright, color=INK, linestyle="--", linewidth=1, gid="upright")
    ax.set_ylim(bottom=0)
    finish_chart(ax, title, along, upwards)
    return figure


def chart_facts(figure: Figure) -> list[str]:
    """What was drawn, in whole numbers, a sentence for each group of bars or each line."""
    (ax,) = figure.axes
    facts = []
    names = ax.get_legend_handles_labels()[1]
    for place, label in enumerate(label.get_text() for label in ax.get_xticklabels()):
        heights = [container.patches[place].get_height() for container in ax.containers]
        if heights:
            facts.append(
                f"{label}: {', '.join(f'{name} {height:.0f}' for name, height in zip(names, heights, strict=True))}"
            )
    for line in ax.lines:
        if line.get_gid() == "line":
            facts.append(f"{line.get_label()}: {', '.join(f'{x:g} → {y:.0f}' for x, y in line.get_xydata())}")
    return facts
