"""Weights on disk: written so that a crash leaves the old file, read so that no code in a file can run, and checked
entry by entry, so that what was damaged on the way is never loaded.

Our files hold {"format", "model_class", "config", "model", …}: whatever else a training run wants to keep.
"""

from defdetr_ref.checkpoints.integrity import CheckpointError
from defdetr_ref.checkpoints.loading import build_model, load
from defdetr_ref.checkpoints.reading import read
from defdetr_ref.checkpoints.writing import FORMAT, save, save_safetensors

__all__ = ["FORMAT", "CheckpointError", "build_model", "load", "read", "save", "save_safetensors"]
