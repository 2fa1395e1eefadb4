"""The picture for "Attention without keys": what a query reads of an image, all of it or a few points."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from defdetr_ref.explain.recording import to_pixels
from defdetr_ref.explain.sampling import Picture
from defdetr_ref.explain.style import (
    FONT_SIZE,
    OKABE_ITO,
    REFERENCE_GREEN,
    WEIGHT_COLOURS,
    displayable,
    panels,
    show_image,
)

PANEL_INCHES = (3.5, 2.75)
BRIGHTNESS = 0.6  # of the image below the points
HEAT_STRENGTH = 0.75  # how much of the image the heat map hides
DOT_ROOM = 6  # pixels around the centre of a dot
LARGEST_DOT = 220  # points² for the weight 1; a dot's area is its weight
HEAD_COLOURS = tuple(OKABE_ITO[number] for number in (3, 1, 0, 6, 5, 2, 4))  # the lighter ones first


def plot_dense_and_deformable(
    image: Picture,
    dense: Float[Tensor, "query height width"],
    locations: Float[Tensor, "query head point 2"],
    weights: Float[Tensor, "query head point"],
    references: Float[Tensor, "query 2"],
    titles: Sequence[str],
) -> Figure:
    """A row for each query. Left: dense attention's weight of every token, as heat. Right: points, size = weight.

    locations, references: x, y in [0, 1] of the image. A colour stands for a head. The heat maps share one scale. Where
    points lie outside, all panels show what is around the image, in black.
    Raises ValueError unless there is a title for every query.
    """
    if len(titles) != len(references):
        raise ValueError(f"plot_dense_and_deformable: got {len(titles)} titles for {len(references)} queries")
    figure, axes = panels(len(titles), 2, PANEL_INCHES)
    largest = dense.detach().max().item()
    (left_end, top), (right_end, bottom) = _ends(locations.detach().flatten(0, -2), *displayable(image).shape[:2])
    for query, (title, (left, right)) in enumerate(zip(titles, axes, strict=True)):
        height, width = show_image(left, image, f"{title}: dense")
        heat = left.imshow(
            dense[query].detach().numpy(), extent=(0, width, height, 0), cmap=WEIGHT_COLOURS, vmin=0, vmax=largest,
            alpha=HEAT_STRENGTH, interpolation="nearest", gid="heat",
        )  # fmt: skip
        show_image(right, image, f"{title}: deformable", brightness=BRIGHTNESS)
        for head, (places, sizes) in enumerate(zip(locations[query].detach(), weights[query].detach(), strict=True)):
            x, y = to_pixels(places, height, width).numpy().T
            right.scatter(
                x, y, s=LARGEST_DOT * sizes.numpy(), color=HEAD_COLOURS[head % len(HEAD_COLOURS)], edgecolors="black",
                linewidths=0.5, zorder=3, gid="head",
            )  # fmt: skip
        for ax in (left, right):
            cross = to_pixels(references[query].detach(), height, width).tolist()
            style = dict(color=REFERENCE_GREEN, markersize=11, markeredgewidth=2.5, zorder=4)
            ax.plot(*([place] for place in cross), "+", **style, gid="reference point")
            ax.set(xlim=(left_end, right_end), ylim=(bottom, top))
    bar = figure.colorbar(heat, ax=list(axes[:, 0]), shrink=0.5, pad=0.02, location="left")
    bar.ax.tick_params(labelsize=FONT_SIZE - 2)
    bar.set_label("weight of a token", fontsize=FONT_SIZE - 1)
    return figure


def _ends(places: Float[Tensor, "place 2"], height: int, width: int) -> list[list[float]]:
    """The corners of what has to be shown, in pixels: the image, and all of every dot outside it."""
    pixels, size = to_pixels(places, height, width), torch.tensor([width, height])
    low, high = pixels.amin(0), pixels.amax(0)
    return [
        torch.where(low < DOT_ROOM, low - DOT_ROOM, 0.0).clamp(max=0).tolist(),
        torch.where(high > size - DOT_ROOM, high + DOT_ROOM, size).maximum(size).tolist(),
    ]


def attention_facts(figure: Figure) -> list[str]:
    """What `plot_dense_and_deformable` drew, a sentence for each panel."""
    shown = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    return [f"{ax.get_title()}: {', '.join(_facts(ax))}" for ax in shown]


def _facts(ax: Axes) -> Iterator[str]:
    for picture in ax.images:
        if picture.get_gid() == "heat":
            weights = np.asarray(picture.get_array())
            yield f"{(weights > 0).sum()} of {weights.size} tokens read, together {weights.sum():.2f}"
            yield f"the largest weight {weights.max():.3f}"
    heads = [dots for dots in ax.collections if dots.get_gid() == "head"]
    if heads:
        sums = [dots.get_sizes().sum() / LARGEST_DOT for dots in heads]
        yield f"{sum(len(dots.get_offsets()) for dots in heads)} points of {len(heads)} heads"
        yield f"each head's weights add up to {min(sums):.2f}"
