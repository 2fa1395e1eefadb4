"""Pictures of a training run: loss terms by step, learning rates, precision and recall, points that move."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from defdetr_ref.explain.recording import AttentionRecord
from defdetr_ref.explain.sampling import PANEL_INCHES as IMAGE_INCHES
from defdetr_ref.explain.sampling import Picture, plot_sampling_points, share_scale
from defdetr_ref.explain.style import INK, OKABE_ITO, displayable, finish_chart, panels, region_around
from defdetr_ref.training import TrainConfig, lr_factor

CURVE_INCHES = (5.4, 3.2)
LINE_COLOURS = (INK, *(OKABE_ITO[number] for number in (0, 1, 2, 5)))  # no yellow, which is faint as a line
RECALL_STEPS = 101  # COCO reads precision at recall 0.00, 0.01, … 1.00


def plot_loss_terms(history: Sequence[Mapping[str, float]], names: Sequence[str]) -> Figure:
    """Up to five terms, `names`, by step, log axis. history: one dict of unweighted terms a step.

    Raises ValueError if history is empty.
    """
    if not history:
        raise ValueError("plot_loss_terms: history is empty; take at least one step")
    figure, axes = panels(1, 1, CURVE_INCHES)
    ax = axes[0, 0]
    for name, colour in zip(names, LINE_COLOURS, strict=False):
        steps = range(1, len(history) + 1)
        ax.plot(steps, [row[name] for row in history], color=colour, label=name, linewidth=1.6, gid="curve")
    ax.set_yscale("log")
    finish_chart(ax, "loss terms of one image", "step")
    return figure


def plot_learning_rates(groups: Sequence[Mapping[str, object]], config: TrainConfig, steps_per_epoch: int) -> Figure:
    """The learning rate of the three parameter groups by epoch, log axis. groups: from `parameter_groups`."""
    figure, axes = panels(1, 1, CURVE_INCHES)
    ax = axes[0, 0]
    total = config.epochs * steps_per_epoch
    factors = [lr_factor(step, steps_per_epoch, config) for step in range(total)]
    epochs = [step / steps_per_epoch for step in range(total)]
    styles = ("-", "--", ":")  # two groups may have the same rate
    for group, colour, style in zip(groups, (INK, *OKABE_ITO[4:]), styles, strict=False):
        rates = [group["full_lr"] * factor for factor in factors]
        ax.plot(epochs, rates, style, color=colour, label=group["name"], linewidth=2.4, gid="curve")
    ax.set_yscale("log")
    finish_chart(ax, "learning rate", "epoch")
    return figure


def plot_precision_recall(recall: Float[Tensor, " detection"], precision: Float[Tensor, " detection"]) -> Figure:
    """Precision after each detection against recall, and COCO's interpolation: the best precision at no less recall.

    Both in [0, 1], detections by falling score. The shaded area is the average precision.
    """
    figure, axes = panels(1, 1, CURVE_INCHES)
    ax = axes[0, 0]
    levels = torch.linspace(0, 1, RECALL_STEPS, dtype=recall.dtype)
    best = interpolated_precision(recall, precision)
    ax.fill_between(levels.numpy(), best.numpy(), color=OKABE_ITO[1], alpha=0.35, linewidth=0, gid="area")
    ax.plot(levels.numpy(), best.numpy(), color=OKABE_ITO[4], label="interpolated, 101 recalls", gid="curve")
    ax.plot(recall.numpy(), precision.numpy(), "o", color=OKABE_ITO[5], label="after each detection", gid="detection")
    ax.set(xlim=(-0.02, 1.02), ylim=(0, 1.05))
    finish_chart(ax, f"average precision {best.mean():.3f}", "recall", "precision")
    return figure


def interpolated_precision(
    recall: Float[Tensor, " detection"], precision: Float[Tensor, " detection"]
) -> Float[Tensor, " level"]:
    """The best precision at recall of at least 0.00, 0.01, … 1.00; zero where that recall is never reached."""
    levels = torch.linspace(0, 1, RECALL_STEPS, dtype=recall.dtype)
    reached = recall[None] >= levels[:, None]  # (level, detection)
    return torch.where(reached, precision[None], 0.0).amax(1)


def plot_points_over_time(
    records: Sequence[AttentionRecord],
    queries: Sequence[int],
    image: Picture,
    *,
    titles: Sequence[str],
    boxes: Float[Tensor, "moment 4"],
) -> Figure:
    """One object's query at several moments of a training: its sampling points and its box, with the image around it.

    All moments show the same part of the image, which holds all boxes, and share one scale of weights.

    records: of the same decoder layer. queries: the query that answers for the object at each moment. boxes: xyxy in
    pixels of the image. Raises ValueError unless all four are equally many.
    """
    if not len(records) == len(queries) == len(titles) == len(boxes) or not records:
        raise ValueError(
            "plot_points_over_time: records, queries, titles and boxes must be equally many and at least one, got "
            f"{len(records)}, {len(queries)}, {len(titles)} and {len(boxes)}"
        )
    figure, axes = panels(1, len(records), IMAGE_INCHES)
    region = region_around(boxes, *displayable(image).shape[:2])
    for ax, record, query, title, box in zip(axes[0], records, queries, titles, boxes, strict=True):
        plot_sampling_points(record, query, image, ax=ax, title=title, boxes=box[None], region=region)
    return share_scale(figure)
