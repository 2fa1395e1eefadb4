"""A detector that ONNX Runtime runs, from a file of `export_onnx`."""

import importlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.batching import check_images
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.weight_files.writing import decode_notes

FORMAT = "defdetr-ref onnx 1"
ERRORS_ONLY = 3  # ONNX Runtime's level of severity from which it prints


def need(name: str) -> ModuleType:
    """A package of the extra `export`. Raises ImportError, with one sentence, if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} cannot be imported ({error}); install it with: pip install 'defdetr-ref[export]'"
        ) from None


class OnnxDetector(nn.Module):
    """Called like a detector, with images alone: (N, 3, H, W), normalised and of one size, on the CPU.

    path: a file that `export_onnx` wrote.

    `notes` are those that the file was written with, `config` is of the model that it was made from.
    Raises FileNotFoundError, ImportError if onnxruntime is missing, or ValueError for a file that is damaged or was
    not written by `export_onnx`.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no ONNX file {path}; write one with defdetr export")
        self.name = str(path)
        self.session = open_session(Path(path).read_bytes(), self.name)
        metadata = self.session.get_modelmeta().custom_metadata_map
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{path} was not written by defdetr export, so it is not known what goes in and comes out")
        try:
            self.config = DeformableDETRConfig.from_dict(json.loads(metadata["config"]))
            self.notes: dict[str, Any] = decode_notes(metadata["notes"])
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} holds metadata that are damaged: {error}") from None

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Tensor]:
        """Every output of the file by its name, "pred_logits" and "pred_boxes" among them.

        Raises ValueError for images that the model cannot take.
        """
        check_images(images, None, self.config.largest_stride)
        return run_session(self.session, images, self.name)


def open_session(content: bytes, name: str) -> Any:
    """An InferenceSession of ONNX Runtime on the CPU. Raises ValueError, naming the file, if it cannot be one."""
    onnxruntime = need("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes of errors have no common one but this
        raise ValueError(f"{name} is not a graph that ONNX Runtime can open: {_first_line(error)}") from None


def run_session(session: Any, images: Tensor, name: str) -> dict[str, Tensor]:
    """All outputs by name. Raises ValueError if ONNX Runtime stops."""
    names = [output.name for output in session.get_outputs()]
    try:
        arrays = session.run(names, {session.get_inputs()[0].name: images.numpy()})
    except Exception as error:
        raise ValueError(f"{name} cannot run on images of shape {tuple(images.shape)}: {_first_line(error)}") from None
    return {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
