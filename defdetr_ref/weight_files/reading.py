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

from defdetr_ref import hugging_face_config, hugging_face_images
from defdetr_ref.weight_files.integrity import CheckpointError, damaged, verify_digests, verify_zip
from defdetr_ref.weight_files.quantisation import dequantise
from defdetr_ref.weight_files.writing import FORMAT, decode_notes

HUGGING_FACE = "huggingface"  # what we say is the format of a folder of transformers
PICKLE, ZIP = b"\x80", b"PK"  # how their files begin
HALF = (torch.float16, torch.bfloat16)
# What save_pretrained may have written, in the order in which transformers looks for it.
FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def read(path: str | os.PathLike) -> dict:
    """The content of a file (.pt, .pth, .bin, .safetensors) or of a folder of transformers, on the CPU, after its
    checksums were compared.

    Of a file written by `save` or `save_safetensors`: "format", "model_class", "config" and "model" (the weights), and
    the notes beside them. Of a folder: "format" ("huggingface"), "config" (what its config.json holds), "model",
    "categories" if it names its labels, and "resize" if its preprocessor_config.json says how images are prepared. Of
    any other file: what it holds.

    Raises FileNotFoundError, or CheckpointError for a file that is truncated or damaged (naming the entry), that is no
    checkpoint, or that holds pickled code, which is refused without running it.
    """
    path = Path(path)
    return _read_folder(path) if path.is_dir() else _read_file(path)


def _read_folder(folder: Path) -> dict[str, Any]:
    """Config and weights that transformers' `save_pretrained` wrote, in one file or in several with an index."""
    try:
        config = hugging_face_config.read_config(folder)
        resize = hugging_face_images.read_resize(folder)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    found = next((folder / name for name in FOLDER_FILES if (folder / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"the folder {folder} holds no weights: none of {', '.join(FOLDER_FILES)}")
    weights: dict[str, Tensor] = {}
    for part in _parts_of(found) if found.suffix == ".json" else [found]:
        weights |= state_dict_of(_read_file(part))
    content = {"format": HUGGING_FACE, "config": config, "model": weights}
    notes = {"categories": hugging_face_config.categories_of(config), "resize": resize}
    return content | {name: note for name, note in notes.items() if note}


def _parts_of(index: Path) -> list[Path]:
    """The files among which an index says that the weights are spread; all lie beside it."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        outside = [name for name in names if Path(name).name != name]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{index} is not an index of files of weights") from None
    if outside:
        raise CheckpointError(f"{index} names {outside[0]!r}, which is not the name of a file beside it")
    return [index.parent / name for name in names]


def _read_file(path: Path) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        says_code = any(word in str(error) for word in ("Unsupported", "not an allowed", "GLOBAL"))
        if says_code and _starts_with(path, PICKLE, ZIP):
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


def _starts_with(path: Path, *beginnings: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(max(map(len, beginnings))).startswith(beginnings)


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


def state_dict_of(content: dict) -> dict:
    """The weights in what a file held: the file itself, or its entry "model" or "state_dict"; as yet unchecked."""
    for entry in ("model", "state_dict"):
        if isinstance(content.get(entry), dict):
            return content[entry]
    return content
