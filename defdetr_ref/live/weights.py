"""From a model to the file that the page reads: one of our .safetensors files, which `checkpoints` reads as well."""

import os
from pathlib import Path

import torch
from torch import nn

from defdetr_ref import checkpoints
from defdetr_ref.dense import DetrBaseline
from defdetr_ref.detector import DeformableDETR

BACKBONE = "small"  # the only one that the page runs
DTYPES = {"float32": torch.float32, "float16": torch.float16, "int8": torch.int8}


def export_weights(
    path: str | os.PathLike, model: nn.Module, dtype: torch.dtype | str = torch.float16, **notes
) -> Path:
    """Write the weights of `model` for the page, whole or not at all.

    path: of the file, which should end in .safetensors
    model: a `DeformableDETR` of any variant, or a `DetrBaseline`, with the backbone "small"
    dtype: torch.float32; torch.float16, in half the space; torch.int8, in a quarter, with a scale for each output
        channel; or the name of one of them. The page reckons in float32
    notes: kept in the file's header, see `checkpoints.save_safetensors`

    Returns the path. Raises ValueError for a model that the page cannot run, another dtype, and weights that are too
    large for it or not finite.
    """
    require_runnable(model)
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"export_weights: dtype is {dtype}; choose torch.float32, torch.float16 or torch.int8")
    for key, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(f"export_weights: {key} holds NaN or infinity; take an earlier checkpoint")
    checkpoints.save_safetensors(path, model, dtype=DTYPES[name], **notes)
    return Path(path)


def require_runnable(model: nn.Module) -> None:
    """Raises ValueError, saying why, for a model that the page cannot run."""
    if not isinstance(model, (DeformableDETR, DetrBaseline)):
        raise ValueError(
            f"live: the page runs a DeformableDETR or a DetrBaseline, and this is a {type(model).__name__}"
        )
    if model.config.backbone != BACKBONE:
        raise ValueError(
            f"live: the model's backbone is {model.config.backbone!r}, and the page runs {BACKBONE!r} alone; train a "
            "model of the preset 'compact' or 'tiny'"
        )
