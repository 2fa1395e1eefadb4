"""Look inside: record where a detector looks, and draw it.

with record(model) as recording:
    model(images, mask)
plot_sampling_points(recording[-1].decoder[-1], query, images[0])

Explorer(model, images[0])                 # in a notebook: move the query
save_explorer("page.html", model, image)   # the same as a file
"""

import importlib
from typing import Any

from defdetr_ref.explain.explorer.page import save_explorer
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
    weight_outside,
)
from defdetr_ref.explain.sampling import plot_attention_pair, plot_sampling_points, select_points, share_scale

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
    "save_explorer",
    "select_points",
    "share_scale",
    "to_pixels",
    "token_at",
    "weight_outside",
]


def __getattr__(name: str) -> Any:
    """`Explorer` is imported when it is first used: it alone needs anywidget."""
    if name == "Explorer":
        return importlib.import_module(f"{__name__}.explorer.widget").Explorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "Explorer"])
