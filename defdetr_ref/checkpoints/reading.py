"""Reading files of weights: verified first, and without running code."""

import argparse
import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from defdetr_ref.checkpoints.integrity import CheckpointError, damaged, verify_digests, verify_zip
from defdetr_ref.checkpoints.quantisation import dequantise
from defdetr_ref.checkpoints.writing import FORMAT, decode_notes

HALF = (torch.float16, torch.bfloat16)


def read(path: str | os.PathLike) -> dict:
    """The content of a .pt, .pth or .safetensors file, on the CPU, after its checksums were compared.

    Of a file written by `save` or `save_safetensors`: "format", "model_class", "config" and "model" (the weights), and
    the notes beside them. Of any other: what it holds.

    Raises FileNotFoundError, or CheckpointError for a file that is truncated or damaged (naming the entry), that is no
    checkpoint, or that holds pickled code, which is refused without running it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "not an allowed" in str(error) or "GLOBAL" in str(error):
            raise CheckpointError(
                f"checkpoint {path} is refused, because it holds pickled code beside its weights; it was not run. Save "
                "the state dict alone on the machine it comes from"
            ) from None
        raise CheckpointError(f"checkpoint {path} is damaged or not a PyTorch checkpoint") from None
    except Exception as error:  # each library has its own for a file that is cut short or something else
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"checkpoint {path} is truncated or not a checkpoint ({reason})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"checkpoint {path} holds a {type(content).__name__}, not a state dict")
    return content


def _read_pickled(path: Path) -> Any:
    verify_zip(path)
    # The published checkpoints keep their command line, a plain argparse.Namespace.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # it is no dict
    is_ours = metadata.get("format") == FORMAT
    if is_ours or "digest" in metadata:
        verify_digests(path, tensors, metadata)
    if not is_ours:
        return tensors
    try:
        described = {name: metadata[name] for name in ("format", "model_class")}
        notes = decode_notes(metadata["notes"])
        config = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in json.loads(metadata["config"]).items()
        }
    except (KeyError, TypeError, ValueError):
        raise damaged(path, "the metadata of its header") from None
    weights = dequantise(tensors)
    weights = {key: tensor.float() if tensor.dtype in HALF else tensor for key, tensor in weights.items()}
    return {**described, "config": config, "model": weights, **notes}


def state_dict_of(content: dict) -> dict[str, Tensor]:
    """The weights in what a file held: the file itself, or its entry "model" or "state_dict"."""
    for entry in ("model", "state_dict"):
        if isinstance(content.get(entry), dict):
            return content[entry]
    return content
