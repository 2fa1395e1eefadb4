"""Trained detectors that come with the package, each with a card that says how it was made and how good it is.

    model = zoo.load("shapes")            # evaluation mode, float32
    zoo.load("shapes", epoch=1)           # the same training, much earlier
    zoo.card("shapes")["metrics"]["AP"]

`defdetr zoo` lists them, and `defdetr zoo train NAME` makes one again.
"""

import json
from pathlib import Path
from typing import Any

from torch import nn

from defdetr_ref import checkpoints

WEIGHTS = Path(__file__).parent / "weights"
PREFIX = "zoo:"  # of a name where a path might stand


def names() -> list[str]:
    """The detectors that ship."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


def load(name: str, epoch: int | None = None) -> nn.Module:
    """A trained detector in evaluation mode, on the CPU.

    epoch: the same training at an earlier time; the card lists which ones ship. None: its end.

    Raises ValueError for a name or an epoch that does not exist, listing those that do, and CheckpointError for
    weights that are damaged.
    """
    return checkpoints.build_model(weights_path(name, epoch))


def card(name: str) -> dict[str, Any]:
    """How a detector was made and how good it is.

    "metrics": COCO's twelve on "test" images of the validation split, in [0, 1]; "epochs": the same for each earlier
    one that ships; "outside": the share of attention weight that reads outside the image, by part and layer;
    "command", "train", "model", "seed", "steps", "seconds", "machine", "versions": how it came about;
    "parameters", "bytes", "stored": its size. Raises ValueError for an unknown name.
    """
    _require(name)
    return json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))


def weights_path(name: str, epoch: int | None = None) -> Path:
    """The file of a detector's weights. Raises ValueError as `load` does."""
    _require(name)
    if epoch is None:
        return WEIGHTS / f"{name}.safetensors"
    epochs = list(card(name)["epochs"])
    if str(epoch) not in epochs:
        listed = f"those of epochs {', '.join(epochs)}" if epochs else "none but the last one's"
        raise ValueError(f"the zoo has no weights of {name!r} after epoch {epoch}; it has {listed}")
    return WEIGHTS / f"{name}-epoch-{epoch}.safetensors"


def path_of(checkpoint: str) -> Path:
    """What a user wrote where a checkpoint is wanted: "zoo:NAME", or a path."""
    return weights_path(checkpoint.removeprefix(PREFIX)) if checkpoint.startswith(PREFIX) else Path(checkpoint)


def _require(name: str) -> None:
    if name not in names():
        raise ValueError(f"the zoo has no detector {name!r}; it has {', '.join(names())}")
