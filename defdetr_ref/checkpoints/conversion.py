"""The weights of a model in any of the three layouts, as a file or folder that the others' code reads."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from defdetr_ref import hugging_face_images
from defdetr_ref.checkpoints.published import args_of
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.state_dict_keys import to_hugging_face, to_official
from defdetr_ref.weight_files.writing import replacing, save, save_safetensors, write_pickled, write_safetensors

LAYOUTS = ("ours", "official", "huggingface")


def save_as(model: nn.Module, path: str | os.PathLike, layout: str = "ours", **notes) -> None:
    """Write a model where other code finds it. `load` and `build_model` read all of them.

    model: whose config and weights are stored
    path: a file, or a folder for "huggingface"
    layout: "ours": .safetensors, or else as `save` writes. "official": a file of the published code, {"model", "args"}.
        "huggingface": a folder that `DeformableDetrForObjectDetection.from_pretrained` opens
    notes: what `save` stores beside them; a folder has a place for two of them, "categories" (label → name), in
        config.json, and "resize" ("paper" if it is left out), in preprocessor_config.json

    Raises ValueError for another layout, and, naming the field, for a config that the other code cannot build.
    """
    path = Path(path)
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; choose from {', '.join(LAYOUTS)}")
    if layout == "ours":
        write = save_safetensors if path.suffix == ".safetensors" else save
        return write(path, model, **notes)
    if not isinstance(model, DeformableDETR):
        raise ValueError(f"layout {layout!r} is of a DeformableDETR, not of a {type(model).__name__}; use 'ours'")
    if layout == "official":
        return _save_official(model, path, notes)
    return _save_hugging_face(model, path, notes.get("categories", {}), notes.get("resize", "paper"))


def _save_official(model: DeformableDETR, path: Path, notes: dict[str, Any]) -> None:
    """As the published code saves: strict loading of its model takes the entry "model"."""
    if path.suffix == ".safetensors":
        raise ValueError(f"{path}: the published code reads files of PyTorch; call it {path.with_suffix('.pth').name}")
    weights = to_official(model.state_dict(), model.config)
    write_pickled(path, {**notes, "model": weights, "args": args_of(asdict(model.config))})


def _save_hugging_face(model: DeformableDETR, folder: Path, categories: dict[int, str], resize: Any) -> None:
    """Weights, how images are prepared, and config.json, which comes last: a folder without one is none."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; transformers reads a folder, name a new one")
    described = {
        hugging_face_images.NAME: hugging_face_images.to_json(resize),
        "config.json": model.config.to_hugging_face(categories),
    }
    weights = to_hugging_face(model.state_dict(), model.config)
    write_safetensors(folder / "model.safetensors", weights, {"format": "pt"})
    for name, content in described.items():
        text = (json.dumps(content, indent=2) + "\n").encode("utf-8")
        with replacing(folder / name, len(text)) as file:
            file.write(text)
