"""Look inside: record where a detector looks, and draw it.

    with record(model) as recording:
        model(images, mask)
    plot_sampling_points(recording[-1].decoder[-1], query, images[0])
"""

from defdetr_ref.explain.figures import figure_facts, plot_curves, plot_predictions, plot_refinement
from defdetr_ref.explain.objects import explain_objects
from defdetr_ref.explain.recording import (
    OPERATORS,
    AttentionRecord,
    ForwardPass,
    Recording,
    record,
    to_pixels,
    token_at,
)
from defdetr_ref.explain.sampling import plot_attention_pair, plot_sampling_points, select_points

__all__ = [
    "OPERATORS",
    "AttentionRecord",
    "ForwardPass",
    "Recording",
    "explain_objects",
    "figure_facts",
    "plot_attention_pair",
    "plot_curves",
    "plot_predictions",
    "plot_refinement",
    "plot_sampling_points",
    "record",
    "select_points",
    "to_pixels",
    "token_at",
]
