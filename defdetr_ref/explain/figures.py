"""The other pictures: predictions beside the truth, curves of a training run, a box from layer to layer.

Every function returns a `matplotlib.figure.Figure` and draws in pixels of the image. `figure_facts` reads back from a
figure what it shows, so that a notebook can print it under the picture and a test can check it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from torch import Tensor

from defdetr_ref.boxes import box_iou, cxcywh_to_xyxy
from defdetr_ref.explain.recording import ForwardPass, to_pixels
from defdetr_ref.explain.sampling import Picture
from defdetr_ref.explain.style import (
    FONT_SIZE,
    INK,
    OKABE_ITO,
    category_colour,
    displayable,
    draw_box,
    panels,
    region_around,
    show_image,
)

SMALL_PANEL_INCHES = (2.3, 2.3)
TITLE_INCHES = 0.4  # above a panel
CURVE_INCHES = (3.7, 3.0)
LEAST_AP_AXIS = 10  # per cent; the axis of a run that has learned nothing yet would end at 0.05


def plot_predictions(
    images: Sequence[Picture],
    targets: Sequence[Mapping[str, Any]],
    detections: Sequence[Mapping[str, Tensor]],
    categories: Mapping[int, str],
    *,
    score_threshold: float = 0.5,
    pairs_per_row: int = 2,
) -> Figure:
    """Ground truth (left) beside the predictions (right) of every image.

    images: without padding.
    targets: as the data sets give them, boxes cxcywh in [0, 1].
    detections: from `postprocess(outputs, sizes)` with sizes = every target's "size".
    categories: names by category id.
    score_threshold: lowest score that is drawn; a picture with all 100 predictions shows nothing.
    pairs_per_row: how many images stand side by side, each with its two pictures.

    Raises ValueError if the three lists are empty or of different length.
    """
    if not len(images) == len(targets) == len(detections) or len(images) == 0:
        raise ValueError(
            "plot_predictions: images, targets and detections must be equally many and at least one, got "
            f"{len(images)}, {len(targets)} and {len(detections)}"
        )
    rows = -(-len(images) // pairs_per_row)
    width = SMALL_PANEL_INCHES[0]
    tallest = max(rows / columns for rows, columns, _ in (displayable(image).shape for image in images))
    figure, axes = panels(rows, 2 * min(pairs_per_row, len(images)), (width, width * tallest + TITLE_INCHES))
    pairs = axes.reshape(-1, 2)
    rows = zip(pairs, images, targets, detections, strict=False)  # the last row may be unfilled
    for (left, right), image, target, found in rows:
        _draw_truth(left, image, target, categories)
        _draw_detections(right, image, target, found, categories, score_threshold)
    for ax in pairs[len(images) :].flat:
        ax.axis("off")
    return figure


def _draw_truth(ax: Axes, image: Picture, target: Mapping[str, Any], categories: Mapping[int, str]) -> None:
    height, width = show_image(ax, image, "ground truth")
    boxes = cxcywh_to_xyxy(target["boxes"]) * _corner_scale(width, height)
    for box, label in zip(boxes, target["labels"].tolist(), strict=True):
        draw_box(ax, box, category_colour(label), categories.get(label, str(label)))


def _draw_detections(
    ax: Axes,
    image: Picture,
    target: Mapping[str, Any],
    found: Mapping[str, Tensor],
    categories: Mapping[int, str],
    score_threshold: float,
) -> None:
    height, width = show_image(ax, image, f"predicted, score ≥ {score_threshold:g}")
    original_height, original_width = target["size"]  # the boxes are in pixels of the file, the image may be resized
    boxes = found["boxes"].cpu() * _corner_scale(width / original_width, height / original_height)
    rows = zip(boxes, found["labels"].tolist(), found["scores"].tolist(), strict=True)
    for box, label, score in reversed([row for row in rows if row[2] >= score_threshold]):  # the best lies on top
        draw_box(ax, box, category_colour(label), f"{categories.get(label, label)} {score:.2f}")


def _corner_scale(width: float | int, height: float | int) -> Float[Tensor, "4"]:
    return torch.tensor([width, height, width, height], dtype=torch.float32)


# name in metrics.jsonl -> (what the legend says, colour)
LOSS_CURVES = {
    "total": ("all layers, weighted (total)", INK),
    "loss_ce": ("class, last layer (loss_ce)", OKABE_ITO[0]),
    "loss_bbox": ("box L1, last layer (loss_bbox)", OKABE_ITO[1]),
    "loss_giou": ("box GIoU, last layer (loss_giou)", OKABE_ITO[2]),
}
AP_CURVES = {
    "AP": ("AP", INK),
    "AP50": ("AP50", OKABE_ITO[4]),
    "AP_small": ("AP small", OKABE_ITO[0]),
    "AP_medium": ("AP medium", OKABE_ITO[1]),
    "AP_large": ("AP large", OKABE_ITO[2]),
}


def plot_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss (log axis) and average precision by epoch. rows: what `train` returns as "metrics", or metrics.jsonl.

    Epochs without an evaluation have no AP and are skipped in the second panel. Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("plot_curves: there are no rows; the run has not finished an epoch yet")
    figure, axes = panels(1, 2, CURVE_INCHES)
    loss, precision = axes[0]
    _draw_curves(loss, rows, LOSS_CURVES, "training loss, mean of the epoch", scale=1)
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_locator(NullLocator())
    _draw_curves(precision, rows, AP_CURVES, "average precision on the validation images, %", scale=100)
    precision.set_ylim(0, max(LEAST_AP_AXIS, precision.get_ylim()[1]))
    return figure


def _draw_curves(
    ax: Axes, rows: Sequence[Mapping[str, Any]], curves: Mapping[str, tuple[str, str]], title: str, scale: int
) -> None:
    """A line for every name in `curves` that the rows hold, and the style of the panel."""
    for name, (label, colour) in curves.items():
        points = [(row["epoch"], scale * row[name]) for row in rows if row.get(name) is not None]
        if points:
            marker = "o" if len(points) == 1 else None  # a line through one point is invisible
            ax.plot(*zip(*points, strict=True), color=colour, label=label, linewidth=1.8, marker=marker, gid="curve")
    ax.set_title(title, fontsize=FONT_SIZE, color=INK)
    ax.set_xlabel("epoch", fontsize=FONT_SIZE - 1)
    ax.set_xlim(rows[0]["epoch"] - 0.5, rows[-1]["epoch"] + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.tick_params(labelsize=FONT_SIZE - 1)
    ax.grid(alpha=0.3, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.lines:
        ax.legend(fontsize=FONT_SIZE - 2, frameon=False)


def plot_refinement(
    forward_pass: ForwardPass,
    queries: Sequence[int],
    image: Picture,
    *,
    truth: Float[Tensor, "query 4"] | None = None,
    batch_index: int = 0,
    padded_size: tuple[int, int] | None = None,
) -> Figure:
    """The boxes of some queries from layer to layer: a row for every query, around its boxes.

    The first column is what the decoder starts from: the proposal's box of the two-stage variant, otherwise the
    reference point, a cross. The others are the boxes that each layer predicts.

    forward_pass: of a whole detector, from `record(model)`.
    queries: object queries of the decoder, a row for each.
    image: without padding.
    truth: the true box for every query, xyxy in pixels of the image; drawn dashed, and the captions then give the IoU
        with it.
    batch_index: which image of the batch.
    padded_size: see `plot_sampling_points`; needed for the first column only.
    """
    steps = [boxes[batch_index, list(queries)].cpu() for boxes in forward_pass.boxes_by_layer()]  # (query, 4) each
    # The finest level's reference: relative to the padded image, to within one cell of that level.
    start = forward_pass.decoder[0].reference_points[batch_index, list(queries), 0].cpu()  # (query, 2 or 4)
    size = displayable(image).shape[:2]
    height, width = size
    figure, axes = panels(len(queries), 1 + len(steps), SMALL_PANEL_INCHES)
    for number, (row, query) in enumerate(zip(axes, queries, strict=True)):
        boxes = cxcywh_to_xyxy(torch.stack([step[number] for step in steps])) * _corner_scale(width, height)
        true_box = None if truth is None else truth[number]
        reference = _in_pixels(start[number], *(padded_size or size))
        shown = [boxes, *(box[None] for box in (true_box, reference) if box is not None and len(box) == 4)]
        region = region_around(torch.cat(shown), *size)
        for step, (ax, box) in enumerate(zip(row, [reference, *boxes], strict=True)):
            show_image(ax, image, f"after layer {step}" if step else f"query {query}: start", region=region)
            _draw_step(ax, box, true_box, category_colour(number))
    return figure


def _in_pixels(reference: Float[Tensor, " point_or_box"], height: int, width: int) -> Float[Tensor, " point_or_box"]:
    """A reference point x, y as it is, a reference box as xyxy, in pixels."""
    if len(reference) == 2:
        return to_pixels(reference, height, width)
    return cxcywh_to_xyxy(reference) * _corner_scale(width, height)


def _draw_step(
    ax: Axes, place: Float[Tensor, " point_or_box"], true_box: Float[Tensor, "4"] | None, colour: str
) -> None:
    """One panel: the true box dashed, and a point, or a box with its IoU."""
    if true_box is not None:
        draw_box(ax, true_box, INK, dashed=True, gid="truth")
    if len(place) == 2:
        ax.plot(*place[:, None].numpy(), "+", color=colour, markersize=11, markeredgewidth=2.5, gid="reference point")
        return
    caption = "" if true_box is None else f"IoU {box_iou(place[None], true_box[None].float()).item():.2f}"
    draw_box(ax, place, colour, caption)


def figure_facts(figure: Figure) -> list[str]:
    """What a figure shows, a sentence per panel, read from what was drawn: counts, and the range of the weights."""
    return [f"{ax.get_title() or 'panel'}: {', '.join(_panel_facts(ax))}" for ax in figure.axes if _is_panel(ax)]


def _is_panel(ax: Axes) -> bool:
    """Not a colour bar, and not a switched off place of a grid."""
    return ax.get_label() != "<colorbar>" and ax.axison


def _panel_facts(ax: Axes) -> Iterator[str]:
    for dots in ax.collections:
        if dots.get_gid() == "sampling point":
            weights, points = dots.get_array(), dots.get_offsets()
            (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
            outside = sum(not (left <= x <= right and top <= y <= bottom) for x, y in points)
            yield f"{_count(len(points), 'sampling point')} ({outside} outside the picture)"
            yield f"weights {weights.min():.3f} to {weights.max():.3f}"
    for kind in ("reference point", "box", "truth", "curve"):
        artists = [artist for artist in (*ax.patches, *ax.lines) if artist.get_gid() == kind]
        if artists:
            yield _count(len(artists), "true box" if kind == "truth" else kind)


def _count(number: int, thing: str) -> str:
    plural = f"{thing}es" if thing.endswith("x") else f"{thing}s"
    return f"{number} {thing if number == 1 else plural}"
