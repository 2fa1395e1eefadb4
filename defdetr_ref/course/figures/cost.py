"""Pictures of what attention costs: growth with the image, the roofline, and the lines of memory that a warp reads."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure
from torch import Tensor

from defdetr_ref.explain.style import FONT_SIZE, INK, OKABE_ITO, finish_chart, panels, panels_on_a_page

Study = Mapping[str, Any]  # the content of the file that defdetr_ref.studies.cost writes

CHART_INCHES = (3.65, 3.3)
STRIP_INCHES = (2.45, 2.4)
STYLES = {  # case -> (what the legend says, colour, marker, line)
    "operator": ("deformable: the sums of Eq. 3", OKABE_ITO[4], "o", "-"),
    "convolution like the operator": ("convolution, FLOPs of the sums", OKABE_ITO[1], "v", "--"),
    "module": ("deformable: whole module", OKABE_ITO[2], "s", "-"),
    "convolution like the module": ("convolution, FLOPs of the module", OKABE_ITO[0], "^", "--"),
    "dense": ("dense attention", OKABE_ITO[5], "D", "-"),
}
GIGA = 1e9
MILLI = 1e-3
LINE_BYTES = 128
ROOM_FOR_LEGEND = 20  # times the largest number, on a logarithmic axis
LEAST_LINES = 12  # an axis that is never shorter, so that one line looks like one line
INTENSITIES = (0.5, 2048)  # FLOP/byte, the ends of the roofline's axis


def plot_growth(study: Study) -> Figure:
    """GFLOPs (left) and milliseconds (right) at growing numbers of tokens, both axes logarithmic."""
    figure, axes = panels(1, 2, CHART_INCHES)
    for name, (label, colour, marker, style) in STYLES.items():
        rows = [(row["tokens"], row["costs"][name]["flops"], row["seconds"].get(name)) for row in study["sizes"]]
        line = dict(color=colour, marker=marker, linestyle=style, markersize=4, linewidth=1.5, label=label, gid="curve")
        if not name.startswith("convolution"):  # equal FLOPs would lie on the same line
            axes[0, 0].plot([row[0] for row in rows], [row[1] / GIGA for row in rows], **line)
        timed = [row for row in rows if row[2] is not None]
        axes[0, 1].plot([row[0] for row in timed], [row[2] / MILLI for row in timed], **line)
    for ax, title in zip(axes[0], ("counted: GFLOPs", "measured: milliseconds"), strict=True):
        ax.set(xscale="log", yscale="log")
        ax.set_ylim(top=ROOM_FOR_LEGEND * ax.get_ylim()[1])
        finish_chart(ax, title, "tokens of all levels")
    return figure


def plot_roofline(study: Study, side: int) -> Figure:
    """What each computation reaches at one image size, under the machine's two limits; both axes logarithmic.

    Right of the bend arithmetic is the limit, left of it memory. Raises ValueError for a side that was not measured.
    """
    row = next((row for row in study["sizes"] if row["side"] == side), None)
    if row is None:
        raise ValueError(f"side {side} was not measured; choose from {[row['side'] for row in study['sizes']]}")
    peak, bandwidth = study["roofline"]["flops_per_second"], study["roofline"]["bytes_per_second"]
    figure, axes = panels(1, 1, (5.4, 3.6))
    ax = axes[0, 0]
    intensities = np.geomspace(*INTENSITIES, 200)
    ax.plot(
        intensities,
        np.minimum(peak, bandwidth * intensities) / GIGA,
        color=INK,
        label="the machine's limit",
        gid="roof",
    )
    for name, seconds in row["seconds"].items():
        label, colour, marker, _ = STYLES[name]
        cost = row["costs"][name]
        reached = cost["flops"] / seconds / GIGA
        ax.plot([cost["flops"] / cost["compulsory"]], [reached], marker, color=colour, label=label, gid="case")
    ax.set(xscale="log", yscale="log")
    finish_chart(ax, f"image of {side}×{side} pixels", "FLOPs for each compulsory byte", "GFLOP/s")
    return figure


def plot_rounds(rounds: Mapping[str, list[float]]) -> Figure:
    """Milliseconds of every round, a line of dots for each case; rounds: seconds, as `timing.interleaved` gives."""
    figure, axes = panels(1, 1, (6.4, 2.6))
    ax = axes[0, 0]
    for number, (name, seconds) in enumerate(rounds.items()):
        _, colour, marker, _ = STYLES[name]
        taken = [one / MILLI for one in seconds]
        ax.plot(taken, [number] * len(taken), marker, color=colour, markersize=4, gid="rounds")
    ax.set_xlim(0, 1.1 * max(max(seconds) for seconds in rounds.values()) / MILLI)
    ax.set_yticks(range(len(rounds)), [STYLES[name][0] for name in rounds])
    ax.invert_yaxis()
    finish_chart(ax, "measured here and now: every round", "milliseconds")
    return figure


def plot_warp(reads: Mapping[str, Int[Tensor, " thread"]]) -> Figure:
    """Which 128-byte line each of the 32 threads of a warp reads, a panel for each entry (title -> addresses in bytes).

    Lines are counted from the lowest one that is read. An address of −1 is a thread that reads nothing.
    """
    figure, axes = panels_on_a_page(len(reads), STRIP_INCHES)
    for ax, (title, addresses) in zip(axes, reads.items(), strict=True):
        lines = addresses.numpy() // LINE_BYTES
        threads = np.flatnonzero(addresses.numpy() >= 0)
        lines = lines[threads] - lines[threads].min()
        count = len(np.unique(lines))
        ax.hlines(np.unique(lines), -0.5, len(addresses) - 0.5, color=OKABE_ITO[1], linewidth=1, alpha=0.8, gid="line")
        ax.plot(threads, lines, "o", color=OKABE_ITO[5], markersize=3.5, gid="thread")
        ax.set_ylim(-1.5, max(LEAST_LINES, lines.max() + 1.5))
        finish_chart(ax, f"{title}: {count} {'line' if count == 1 else 'lines'}", "thread", "line of memory")
    return figure


def plot_disorder(study: Study) -> Figure:
    """The price of disorder: time by pattern over the time of `own` (left), and simulated cache hits (right)."""
    figure, axes = panels(1, 2, CHART_INCHES)
    times, hits = axes[0]
    patterns = list(study["patterns"][0]["times_as_long"])
    width = 0.8 / len(patterns)
    for number, (pattern, colour) in enumerate(zip(patterns, (OKABE_ITO[4], OKABE_ITO[0], OKABE_ITO[5]), strict=False)):
        heights = [row["times_as_long"][pattern] for row in study["patterns"]]
        places = np.arange(len(heights)) + (number - (len(patterns) - 1) / 2) * width
        times.bar(places, heights, width, color=colour, label=pattern, gid="bar")
    megabytes = [f"{row['side']} px\n{row['value_bytes'] / 2**20:.1f} MB" for row in study["patterns"]]
    times.set_xticks(range(len(megabytes)), megabytes)
    finish_chart(times, "times as long as `own`, same FLOPs", "image side, bytes of the values")
    rates = study["cache"]["hit_rate"]
    hits.barh(list(rates), [100 * rate for rate in rates.values()], color=OKABE_ITO[2], gid="bar")
    hits.invert_yaxis()
    hits.set_xlim(0, 100)
    finish_chart(hits, f"reads found in a cache of {study['cache']['bytes'] // 1024} kB", "%")
    hits.tick_params(axis="y", labelsize=FONT_SIZE - 1)
    return figure


def plot_rows(study: Study) -> Figure:
    """How fast rows of 128 bytes arrive, in order and at random, from small and large tables."""
    figure, axes = panels(1, 1, CHART_INCHES)
    ax = axes[0, 0]
    megabytes = [row["megabytes"] for row in study["rows"]]
    for order, colour, marker in (("in order", OKABE_ITO[4], "o"), ("at random", OKABE_ITO[5], "s")):
        speeds = [row[order] for row in study["rows"]]
        ax.plot(megabytes, speeds, color=colour, marker=marker, label=order, gid="curve")
    ax.set_xscale("log", base=2)
    ax.set_xticks(megabytes, [f"{size:g}" for size in megabytes])
    ax.set_ylim(0)
    finish_chart(ax, "rows of 128 bytes: GB/s", "MB of the table they are read from")
    return figure
