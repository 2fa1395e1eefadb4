"""Sampling points over the image, as in Figure 6 of the paper.

"Each sampling point is marked as a filled circle whose colour indicates its attention weight; the reference point is a
green cross" (caption of Figure 6). Points of all heads and levels are drawn into one picture: locations are relative
to the image, so a point on the coarsest level lands where it belongs.
"""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image
from torch import Tensor

from defdetr_ref.explain.recording import AttentionRecord, ForwardPass, to_pixels, token_at
from defdetr_ref.explain.style import (
    FONT_SIZE,
    INK,
    REFERENCE_GREEN,
    WEIGHT_COLOURS,
    displayable,
    draw_box,
    panels,
    region_around,
    show_image,
)

PANEL_INCHES = (3.6, 3.1)
BRIGHTNESS = 0.7  # of the image; light points, which count most, stand out from a dark one
Picture = Tensor | np.ndarray | Image.Image


def plot_sampling_points(
    record: AttentionRecord,
    query: int,
    image: Picture,
    *,
    batch_index: int = 0,
    levels: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    boxes: Float[Tensor, "box 4"] | None = None,
    captions: Sequence[str] = (),
    padded_size: tuple[int, int] | None = None,
    region: Sequence[float] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One query's sampling points over the image. Every point's colour is its attention weight.

    record: of one layer, from `record(model)`.
    query: a decoder's object query, or a token of the encoder (`token_at` finds the one under a point).
    image: the picture below: a tensor (3, height, width) as the model got it, an array (height, width, 3), or PIL.
    batch_index: which image of the batch.
    levels, heads: draw only the points of these.
    boxes, captions: xyxy boxes in pixels of the image to draw along, with a text each ("circle 0.93").
    padded_size: (height, width) of the padded batch image in pixels of `image`, where `image` is without the padding.
    region: (left, top, right, bottom) in pixels of the image, to show only this part.
    title: above the picture; by default the layer and the query.
    ax: draw there, in its figure, instead of in a new one.

    Returns the figure; `figure_facts` says in words what it shows. Raises ValueError for a query, image, level or head
    that is not there.
    """
    locations, weights, references = select_points(record, query, batch_index=batch_index, levels=levels, heads=heads)
    if ax is None:
        figure, axes = panels(1, 1, PANEL_INCHES)
        ax = axes[0, 0]
    if title is None:
        title = f"{panel_name(record)}, query {query}"
    size = show_image(ax, image, title, brightness=BRIGHTNESS, region=region)
    height, width = padded_size or size
    for box, caption in zip_longest([] if boxes is None else boxes, captions, fillvalue=""):
        draw_box(ax, box, REFERENCE_GREEN, caption)
    lightest_first = weights.argsort(stable=True)  # the heaviest point is drawn last, on top
    x, y = to_pixels(locations[lightest_first], height, width).unbind(-1)
    dots = ax.scatter(
        x.numpy(), y.numpy(), c=weights[lightest_first].numpy(), cmap=WEIGHT_COLOURS, s=16, vmin=0,
        edgecolors="white", linewidths=0.3, zorder=3, gid="sampling point",
    )  # fmt: skip
    cross = to_pixels(references[:1, :2], height, width).numpy()
    ax.plot(
        cross[:, 0], cross[:, 1], "+", color=REFERENCE_GREEN, markersize=11, markeredgewidth=2.5, zorder=4,
        gid="reference point", path_effects=[withStroke(linewidth=4.5, foreground="white")],
    )  # fmt: skip
    _add_bar(ax.figure, dots, [ax])
    return ax.figure


def share_scale(figure: Figure) -> Figure:
    """All panels of `plot_sampling_points` get one scale of weights, up to the heaviest point, and one colour bar."""
    panels_drawn = {ax: dots for ax in figure.axes for dots in ax.collections if dots.get_gid() == "sampling point"}
    for dots in panels_drawn.values():
        dots.colorbar.remove()
    heaviest = max(dots.get_array().max() for dots in panels_drawn.values())
    for dots in panels_drawn.values():
        dots.set_clim(0, heaviest)
    _add_bar(figure, dots, list(panels_drawn))
    return figure


def _add_bar(figure: Figure, dots: PathCollection, beside: Sequence[Axes]) -> None:
    bar = figure.colorbar(dots, ax=beside, shrink=0.85, pad=0.02)
    bar.ax.tick_params(labelsize=FONT_SIZE - 2)
    bar.set_label("attention weight", fontsize=FONT_SIZE - 1, color=INK)


def panel_name(record: AttentionRecord) -> str:
    """ "decoder layer 3", counted from 1 as papers do; the module's path where it is in neither stack."""
    return f"{record.part} layer {record.layer + 1}" if record.part else record.name or "attention"


def select_points(
    record: AttentionRecord,
    query: int,
    *,
    batch_index: int = 0,
    levels: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
) -> tuple[Float[Tensor, "sample 2"], Float[Tensor, " sample"], Float[Tensor, "level point_or_box"]]:
    """The locations, weights and reference points (one per level, nearly equal) of one query, on the CPU.

    record: of one layer, from `record(model)`.
    query: its number within the record.
    batch_index: which image of the batch.
    levels, heads: only these, in this order; all by default.

    Samples are ordered by head, then level, then point. Raises ValueError for an index that is not there.
    """
    images, queries, num_heads, num_levels, _ = record.attention_weights.shape
    _check("batch_index", [batch_index], images, "images", record)
    _check("query", [query], queries, "queries", record)
    levels = range(num_levels) if levels is None else levels
    heads = range(num_heads) if heads is None else heads
    _check("levels", levels, num_levels, "levels", record)
    _check("heads", heads, num_heads, "heads", record)
    weights = record.attention_weights[batch_index, query][list(heads)][:, list(levels)]
    locations = record.sampling_locations[batch_index, query][list(heads)][:, list(levels)]
    references = record.reference_points[batch_index, query]
    return locations.reshape(-1, 2).cpu(), weights.flatten().cpu(), references.cpu()


def _check(name: str, chosen: Sequence[int], count: int, things: str, record: AttentionRecord) -> None:
    """One sentence where an index is out of range, or nothing is chosen."""
    if len(chosen) == 0:
        raise ValueError(f"{name}: nothing is chosen; leave {name} out to draw all {count} {things}")
    for index in chosen:
        if not 0 <= index < count:
            raise ValueError(
                f"{name}: {index} is out of range, {record.name} was recorded with {count} {things} (0 to {count - 1})"
            )


def plot_attention_pair(
    forward_pass: ForwardPass,
    queries: Sequence[int],
    image: Picture,
    *,
    boxes: Float[Tensor, "query 4"],
    captions: Sequence[str] | None = None,
    batch_index: int = 0,
    layer: int = -1,
    level: int = 0,
    padded_size: tuple[int, int] | None = None,
) -> Figure:
    """Encoder and decoder side by side, a row for every object query, as in Figure 6 of the paper.

    Left: where the pixel at the centre of the query's box looks in the encoder. Right: where the object query looks in
    the decoder, with its predicted box; only the part of the image around the box.

    forward_pass: of a whole detector, from `record(model)`.
    queries: object queries of the decoder.
    boxes, captions: each query's predicted box, xyxy in pixels of the image, and a text ("circle 0.93").
    layer: which layer of each stack; the last by default.
    level: the feature level that the encoder's query pixel is taken from.
    batch_index, padded_size, image: as in `plot_sampling_points`.
    """
    captions = [""] * len(queries) if captions is None else captions
    if not len(queries) == len(boxes) == len(captions) or len(queries) == 0:
        raise ValueError(
            "plot_attention_pair: queries, boxes and captions must be equally many and at least one, got "
            f"{len(queries)}, {len(boxes)} and {len(captions)}"
        )
    encoder, decoder = _layer(forward_pass.encoder, layer, "encoder"), _layer(forward_pass.decoder, layer, "decoder")
    figure, axes = panels(len(queries), 2, PANEL_INCHES)
    common = {"batch_index": batch_index, "padded_size": padded_size}
    size = displayable(image).shape[:2]
    height, width = padded_size or size
    for (left, right), query, box, caption in zip(axes, queries, boxes, captions, strict=True):
        x, y = ((box[:2] + box[2:]) / 2 / box.new_tensor([width, height])).clamp(0, 1).tolist()
        token = token_at(encoder, x, y, level)
        title = f"{panel_name(encoder)}, the pixel under the cross"
        plot_sampling_points(encoder, token, image, ax=left, title=title, **common)
        region = region_around(box[None], *size)
        plot_sampling_points(
            decoder, query, image, ax=right, boxes=box[None], captions=[caption], region=region, **common
        )
    return figure


def _layer(records: Sequence[AttentionRecord], layer: int, part: str) -> AttentionRecord:
    if not -len(records) <= layer < len(records):
        raise ValueError(
            f"plot_attention_pair: layer {layer} does not exist, {len(records)} {part} layers were recorded"
        )
    return records[layer]
