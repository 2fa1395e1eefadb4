"""Weights on disk: written so that a crash leaves the old file, read so that no code in a file can run, and checked
entry by entry, so that what was damaged on the way is never loaded.

Our files hold {"format", "model_class", "config", "model", …}: whatever else a training run wants to keep. Weights of
the published code and of Hugging Face's transformers are read and written as well.
"""

from defdetr_ref.checkpoints.conversion import LAYOUTS, save_as
from defdetr_ref.checkpoints.loading import build_model, load, read_model
from defdetr_ref.weight_files.integrity import CheckpointError
from defdetr_ref.weight_files.reading import read
from defdetr_ref.weight_files.writing import FORMAT, save, save_safetensors

__all__ = [
    "FORMAT",
    "LAYOUTS",
    "CheckpointError",
    "build_model",
    "load",
    "read",
    "read_model",
    "save",
    "save_as",
    "save_safetensors",
]
