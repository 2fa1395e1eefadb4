"""From files of weights to models that hold them."""

import os

from torch import Tensor, nn

from defdetr_ref.checkpoints.integrity import CheckpointError
from defdetr_ref.checkpoints.reading import read, state_dict_of
from defdetr_ref.checkpoints.writing import FORMAT
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.dense import DetrBaseline
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.state_dict_keys import layout_of, to_ours

SHOWN_KEYS = 5  # of a list of differing keys, in an error message


def load(model: nn.Module, source: str | os.PathLike | dict[str, Tensor]) -> None:
    """Fill `model` from a file or a state dict in our layout, the published one or Hugging Face's (transformers 5).

    Nothing is loaded unless everything fits. Raises CheckpointError, listing the keys that differ, or naming the
    weights that are not finite.
    """
    if isinstance(source, dict):
        _fill(model, state_dict_of(source), "the state dict")
    else:
        _fill(model, state_dict_of(read(source)), f"checkpoint {source}")


def _fill(model: nn.Module, state_dict: dict[str, Tensor], name: str) -> None:
    """Load weights of any layout; errors call their source `name`."""
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
        f"{len(keys)} {what}: {_listed(keys)}"
        for what, keys in (("missing", missing), ("not in the model", left_over), ("of another shape", shapes))
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{name} ({layout} layout) is of another architecture than {type(model).__name__}; "
            f"keys {'; '.join(problems)}"
        )
    not_finite = [key for key, tensor in renamed.items() if not tensor.isfinite().all()]
    if not_finite:
        raise CheckpointError(
            f"{name} holds NaN or infinity in {_listed(not_finite)}; nothing was loaded, take an earlier checkpoint"
        )
    model.load_state_dict(renamed)


def _listed(keys: list[str] | set[str]) -> str:
    """The first few of them."""
    return ", ".join(sorted(keys)[:SHOWN_KEYS]) + (", …" if len(keys) > SHOWN_KEYS else "")


def build_model(path: str | os.PathLike) -> nn.Module:
    """The model that a file written by `save` or `save_safetensors` describes, with its weights, in float32 and in
    evaluation mode. What else the file holds, `read` gives."""
    content = read(path)
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} does not say which model it is of; build the model and use checkpoints.load"
        )
    classes = {"DeformableDETR": DeformableDETR, "DetrBaseline": DetrBaseline}
    if content["model_class"] not in classes:
        raise CheckpointError(f"checkpoint {path} is of an unknown model, {content['model_class']!r}")
    model = classes[content["model_class"]](DeformableDETRConfig(**content["config"]))
    _fill(model, content["model"], f"checkpoint {path}")
    return model.eval()
