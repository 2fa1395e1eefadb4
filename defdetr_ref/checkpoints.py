"""Weights on disk: written so that a crash leaves the old file, read so that no code in a file can run.

Our files hold {"format", "model_class", "config", "model", …}: whatever else a training run wants to keep.
"""

import argparse
import os
import pickle
import zipfile
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.state_dict_keys import layout_of, to_ours

FORMAT = "defdetr-ref 1"
SHOWN_KEYS = 5  # of a list of differing keys, in an error message


class CheckpointError(ValueError):
    """A file of weights that cannot be read, or does not fit the model."""


def save(path: str | os.PathLike, model: nn.Module, **extra) -> None:
    """Write model, config and `extra` (tensors, numbers, strings, lists and dicts) to `path`, whole or not at all."""
    path = Path(path)
    content = {
        "format": FORMAT,
        "model_class": type(model).__name__,
        "config": asdict(model.config),
        "model": model.state_dict(),
        **extra,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)  # atomic: readers see the old file or the new one


def read(path: str | os.PathLike) -> dict:
    """The content of a .pt, .pth or .safetensors file, on the CPU.

    Raises FileNotFoundError, or CheckpointError for a file that is truncated, that is no checkpoint, or that holds
    pickled code, which is refused without running it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # The published checkpoints keep their command line, a plain argparse.Namespace.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "not an allowed" in str(error) or "GLOBAL" in str(error):
            raise CheckpointError(
                f"checkpoint {path} is refused, because it holds pickled code beside its weights; it was not run. Save "
                "the state dict alone on the machine it comes from"
            ) from None
        raise CheckpointError(f"checkpoint {path} is damaged or not a PyTorch checkpoint") from None
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"checkpoint {path} is truncated or not a PyTorch checkpoint ({reason})") from None
    except Exception as error:  # safetensors raises a class of its own
        raise CheckpointError(f"checkpoint {path} is truncated or not a checkpoint ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"checkpoint {path} holds a {type(content).__name__}, not a state dict")
    return content


def state_dict_of(content: dict) -> dict[str, Tensor]:
    """The weights in what a file held: the file itself, or its entry "model" or "state_dict"."""
    for entry in ("model", "state_dict"):
        if isinstance(content.get(entry), dict):
            return content[entry]
    return content


def load(model: nn.Module, source: str | os.PathLike | dict[str, Tensor]) -> None:
    """Fill `model` from a file or a state dict in our layout, the published one or Hugging Face's (transformers 5).

    Nothing is loaded unless everything fits. Raises CheckpointError, listing the keys that differ.
    """
    name = "the state dict" if isinstance(source, dict) else f"checkpoint {source}"
    state_dict = state_dict_of(source if isinstance(source, dict) else read(source))
    own = model.state_dict()
    try:
        layout = layout_of(set(state_dict))
    except ValueError as error:
        raise CheckpointError(f"{name}: {error}") from None
    renamed, missing, left_over = to_ours(state_dict, list(own), model.config.decoder_layers)
    shapes = [
        f"{key} {tuple(tensor.shape)} instead of {tuple(own[key].shape)}"
        for key, tensor in renamed.items()
        if tensor.shape != own[key].shape
    ]
    problems = [
        f"{len(keys)} {what}: {', '.join(sorted(keys)[:SHOWN_KEYS])}{', …' if len(keys) > SHOWN_KEYS else ''}"
        for what, keys in (("missing", missing), ("not in the model", left_over), ("of another shape", shapes))
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{name} ({layout} layout) is of another architecture than {type(model).__name__}; "
            f"keys {'; '.join(problems)}"
        )
    model.load_state_dict(renamed)


def build_model(path: str | os.PathLike) -> nn.Module:
    """The model that a file written by `save` describes, with its weights, in evaluation mode."""
    from defdetr_ref.dense import DetrBaseline
    from defdetr_ref.detector import DeformableDETR

    content = read(path)
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} does not say which model it is of; build the model and use checkpoints.load"
        )
    classes = {"DeformableDETR": DeformableDETR, "DetrBaseline": DetrBaseline}
    if content["model_class"] not in classes:
        raise CheckpointError(f"checkpoint {path} is of an unknown model, {content['model_class']!r}")
    model = classes[content["model_class"]](DeformableDETRConfig(**content["config"]))
    load(model, content["model"])
    return model.eval()
