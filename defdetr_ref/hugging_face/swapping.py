"""This package's operator in the models of transformers, and theirs back again."""

import functools
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from defdetr_ref.hugging_face.operators import intercept, operators_in, reads_between_pixels, sampling_of
from defdetr_ref.ops import ms_deform_attn, require_backend


class SwappedOperators:
    """What `use_ms_deform_attn` returns. As a context manager it undoes the swap at the end of the block."""

    def __init__(self, names: tuple[str, ...], cleanup: ExitStack):
        self.names = names  # paths of the attentions whose operator is this package's
        self._cleanup = cleanup

    def undo(self) -> None:
        """Give the model its own operators back. A second time it does nothing."""
        self._cleanup.close()

    def __enter__(self) -> "SwappedOperators":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.undo()


def use_ms_deform_attn(model: nn.Module, *, backend: str = "auto") -> SwappedOperators:
    """Let every multi-scale deformable attention of a model of transformers read its points with `ms_deform_attn`.

        swapped = use_ms_deform_attn(model)        # until swapped.undo()
        with use_ms_deform_attn(model):            # or until the end of the block
            model(pixel_values)

    It computes the same, forward and backward, but for rounding; weights, hooks and configuration stay as they are,
    and other models keep their operators. It works for every model that `explain.record` knows.

    model: of transformers, or one that holds such a model.
    backend: which version of the operator runs, see `ms_deform_attn`; all but "torch" are differentiable once.

    Raises ValueError if the model has no such attention, or the backend does not exist.
    """
    require_backend(backend)
    operators = [operator for operator in operators_in(model) if reads_between_pixels(operator)]
    if not operators:
        raise ValueError(
            f"use_ms_deform_attn: {type(model).__name__} holds no multi-scale deformable attention of transformers "
            "that reads between pixels, so there is nothing to replace"
        )
    cleanup = intercept(operators, functools.partial(_read_points, backend), innermost=True)
    return SwappedOperators(tuple(operator.name for operator in operators), cleanup)


def _read_points(backend: str, name: str, compute: Callable[[], Tensor], arguments: Mapping[str, Any]) -> Tensor:
    """(N, Q, M·D): what transformers' operator would compute, from its arguments."""
    locations, weights, shapes = sampling_of(arguments)
    return ms_deform_attn(arguments["value"], shapes, locations, weights, backend=backend)
