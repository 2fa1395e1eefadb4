"""What the tests of exporting share."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
import pytest
import torch

from defdetr_ref.inference import evaluation_mode

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason=f"{package} is not installed; it comes with the extra `export`")


@contextmanager
def shapes_unchecked() -> Iterator[None]:
    """While a model is traced its sizes are symbols; comparing them in every signature takes long."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def assert_same(found: dict[str, torch.Tensor], model, images: torch.Tensor, order_counts: bool = True) -> None:
    """Logits within 1e-4 and boxes within 1e-5; without `order_counts`, queries in the order of their first logit."""
    with evaluation_mode(model):
        wanted = model(images)
    names, tolerances = ("pred_logits", "pred_boxes"), (1e-4, 1e-5)
    for name, tolerance in zip(names, tolerances, strict=True):
        pair = [found[name], wanted[name]]
        if not order_counts:
            orders = [one["pred_logits"][..., 0].argsort(1)[..., None] for one in (found, wanted)]
            pair = [one.gather(1, order.expand_as(one)) for one, order in zip(pair, orders, strict=True)]
        torch.testing.assert_close(*pair, rtol=0, atol=tolerance)
