"""Pictures for "Where to look first": offsets around their reference, and the places on a map that they become.

Pictures count pixels as the maps do: x to the right, y downwards.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from defdetr_ref.explain.recording import to_pixels
from defdetr_ref.explain.style import FONT_SIZE, INK, OKABE_ITO, REFERENCE_GREEN, panels_on_a_page

HEAD_COLOURS = (*OKABE_ITO, "#999999")  # one for each of eight heads
PANEL_INCHES = (2.45, 2.6)
MOST_TICKS = 7  # along each side
MARGIN = 0.8  # pixels between the outermost point and the frame
DECIMALS = 3  # places that agree to a thousandth of a pixel are one place
FRAME = "#BBBBBB"


def plot_offsets(offsets: Mapping[str, Float[Tensor, "head point 2"]]) -> Figure:
    """The offsets of every head in pixels, a panel for each entry. A head's points are joined, the first one onwards.

    The panels share one scale, and all have the same numbers of heads and points. Raises ValueError without entries.
    """
    if not offsets:
        raise ValueError("plot_offsets: there is nothing to draw; give at least one set of offsets (head, point, 2)")
    figure, axes = panels_on_a_page(len(offsets), PANEL_INCHES)
    reach = max(heads.detach().abs().max().item() for heads in offsets.values()) + MARGIN
    for ax, (title, heads) in zip(axes, offsets.items(), strict=True):
        _draw_heads(ax, heads.detach(), torch.zeros(2))
        ax.set(xlim=(-reach, reach), ylim=(reach, -reach))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(MOST_TICKS, integer=True))
        _label(ax, title, "offset x, pixels", "offset y, pixels")
    return figure


def plot_places(
    locations: Mapping[str, Float[Tensor, "head point 2"]],
    references: Mapping[str, Float[Tensor, "2"]],
    height: int,
    width: int,
) -> Figure:
    """Where one query reads on a map of height × width pixels, a panel for each entry of `locations`.

    locations and references (of the same entries): x, y in [0, 1] of the map. Each panel is as wide as it must be to
    show the whole map, drawn as a frame, and every point. Raises ValueError if the entries differ or there are none.
    """
    if not locations or locations.keys() != references.keys():
        raise ValueError(
            "plot_places: locations and references must have the same entries, at least one; got "
            f"{list(locations)} and {list(references)}"
        )
    figure, axes = panels_on_a_page(len(locations), PANEL_INCHES)
    for ax, (title, places) in zip(axes, locations.items(), strict=True):
        frame = Rectangle((0, 0), width, height, facecolor="#F2F2F2", edgecolor=INK, linewidth=1.2, gid="map", zorder=0)
        ax.add_patch(frame)
        _draw_heads(ax, to_pixels(places.detach(), height, width), to_pixels(references[title], height, width))
        ax.invert_yaxis()
        _label(ax, title, "x, pixels", "y, pixels")
    return figure


def _draw_heads(ax: Axes, points: Float[Tensor, "head point 2"], centre: Float[Tensor, "2"]) -> None:
    """A line of dots for each head, and a cross where they start from."""
    for head, places in enumerate(points):
        ax.plot(
            *places.T.numpy(), "o-", color=HEAD_COLOURS[head % len(HEAD_COLOURS)], markersize=4.5, linewidth=1,
            gid="head", label=f"head {head}",
        )  # fmt: skip
    ax.plot(
        *centre[:, None].numpy(), "+", color=REFERENCE_GREEN, markersize=11, markeredgewidth=2.5, gid="reference point"
    )


def _label(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_aspect("equal")
    ax.set_title(title, fontsize=FONT_SIZE, color=INK)
    ax.set_xlabel(x, fontsize=FONT_SIZE - 1)
    ax.set_ylabel(y, fontsize=FONT_SIZE - 1)
    ax.tick_params(labelsize=FONT_SIZE - 2)
    ax.grid(color=FRAME, linewidth=0.4)


def head_points(ax: Axes) -> np.ndarray:
    """(head, point, 2), read from the picture."""
    return np.stack([line.get_xydata() for line in ax.lines if line.get_gid() == "head"])


def straight_rays(points: np.ndarray, centre: np.ndarray) -> int:
    """How many heads have all their points in one direction from the centre, each farther out than the one before."""
    steps = np.diff(points - centre, axis=1, prepend=0)  # (head, point, 2): from one point to the next
    first = steps[:, :1]
    crosswise = first[..., 0] * steps[..., 1] - first[..., 1] * steps[..., 0]
    onwards = (first * steps).sum(-1)
    tolerance = 10.0**-DECIMALS
    return int(((abs(crosswise) < tolerance) & (onwards > tolerance)).all(1).sum())


def different_places(points: np.ndarray) -> int:
    """How many places the points of all heads take up; points on one place count once."""
    return len(np.unique(points.reshape(-1, 2).round(DECIMALS) + 0.0, axis=0))  # + 0.0 makes -0.0 a 0.0


def offset_facts(figure: Figure) -> list[str]:
    """What `plot_offsets` drew, a sentence for each panel."""
    return [f"{ax.get_title()}: {', '.join(_offset_facts(ax))}" for ax in figure.axes]


def _offset_facts(ax: Axes) -> Iterator[str]:
    points = head_points(ax)
    heads, per_head, _ = points.shape
    yield f"{heads} heads × {per_head} points in {different_places(points)} different places"
    yield f"{straight_rays(points, np.zeros(2))} straight rays"
    yield f"farthest coordinate {abs(points).max():.1f} px"


def place_facts(figure: Figure) -> list[str]:
    """What `plot_places` drew, a sentence for each panel."""
    return [f"{ax.get_title()}: {', '.join(_place_facts(ax))}" for ax in figure.axes]


def _place_facts(ax: Axes) -> Iterator[str]:
    points = head_points(ax).reshape(-1, 2)
    (frame,) = (patch for patch in ax.patches if patch.get_gid() == "map")
    size = np.array([frame.get_width(), frame.get_height()])
    inside = ((points >= 0) & (points <= size)).all(-1)
    (reference,) = (line.get_xydata()[0] for line in ax.lines if line.get_gid() == "reference point")
    yield f"reference at ({reference[0]:.1f}, {reference[1]:.1f}) of {size[0]:.0f}×{size[1]:.0f} px (width × height)"
    yield f"{inside.sum()} of {len(points)} points inside"
    (left, top), (right, bottom) = points.min(0), points.max(0)
    yield f"x from {left:.1f} to {right:.1f}, y from {top:.1f} to {bottom:.1f}"
