"""From files of weights to models that hold them."""

import os
from typing import Any

from torch import Tensor, nn

from defdetr_ref.checkpoints.architecture import Weights, differing_fields, listed, weights_of
from defdetr_ref.dense import DetrBaseline
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.state_dict_keys import to_ours
from defdetr_ref.weight_files.integrity import CheckpointError
from defdetr_ref.weight_files.reading import read
from defdetr_ref.weight_files.writing import FORMAT

CLASSES = {"DeformableDETR": DeformableDETR, "DetrBaseline": DetrBaseline}


def load(model: nn.Module, source: str | os.PathLike | dict[str, Tensor]) -> None:
    """Fill `model` from a file, a folder of transformers or a state dict, in our layout, the published one or Hugging
    Face's, told apart by their keys.

    Nothing is loaded unless everything fits. Raises CheckpointError, naming the fields of the config and the keys that
    differ, or the weights that are not finite. A dropout that differs is none of those, and neither is the number of
    proposals that a two-stage model keeps.
    """
    content, name = (source, "the state dict") if isinstance(source, dict) else (read(source), f"checkpoint {source}")
    _fill(model, weights_of(content, name))


def build_model(path: str | os.PathLike) -> nn.Module:
    """The model that a file or folder describes, with its weights, in float32 and in evaluation mode: files of `save`
    and `save_safetensors`, folders of transformers' `save_pretrained`, published checkpoints. What else it holds,
    `read_model` gives.

    Its config is compared with its weights before anything is built. Raises CheckpointError for a file that does not
    say which model it is of, or says it wrongly.
    """
    return read_model(path)[0]


def read_model(path: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """What `build_model` and `read` give of a file or folder, which is read and verified once. Raises as they do."""
    content = read(path)
    weights = weights_of(content, f"checkpoint {path}")
    if weights.config is None:
        raise CheckpointError(
            f"checkpoint {path} does not say which model it is of; build the model and use checkpoints.load, or say it "
            "with defdetr convert --preset"
        )
    said = content.get("model_class") if content.get("format") == FORMAT else "DeformableDETR"
    if said != weights.model_class:
        raise CheckpointError(f"checkpoint {path} says that it is of {said!r:.60}; its weights are not")
    contradictions = differing_fields(weights, weights.config)
    if contradictions:
        field, (told, said) = next(iter(contradictions.items()))
        weigh = "do not tell it" if told is None else f"are of {told!r:.60}"
        raise CheckpointError(f"checkpoint {path} says that its {field} is {said!r:.60}, but its weights {weigh}")
    try:
        model = CLASSES[weights.model_class](weights.config)
    except ValueError as error:  # an attention_backend that there is not, which no weights contradict
        raise CheckpointError(f"checkpoint {path} says of its model what cannot be: {error}") from None
    _fill(model, weights)
    return model.eval(), content


def _fill(model: nn.Module, weights: Weights) -> None:
    """Load the weights, or raise CheckpointError and leave the model as it was."""
    own, name = model.state_dict(), f"{weights.name} ({weights.layout} layout)"
    others = tuple(one for class_name, one in CLASSES.items() if class_name != weights.model_class)
    if isinstance(model, others):
        raise CheckpointError(f"{name} is of a {weights.model_class}, not of a {type(model).__name__}")
    renamed, missing, left_over = to_ours(weights.tensors, list(own), model.config.decoder_layers)
    shapes = [
        f"{key} {tuple(tensor.shape)} instead of {tuple(own[key].shape)}"
        for key, tensor in renamed.items()
        if tensor.shape != own[key].shape
    ]
    fields = [
        f"config.{field} is {theirs!r:.60} there and {ours!r:.60} here"
        for field, (theirs, ours) in differing_fields(weights, model.config).items()
        if theirs is not None  # then keys are missing
    ]
    problems = [
        f"{len(keys)} {what}: {listed(keys)}"
        for what, keys in (("missing", missing), ("not in the model", left_over), ("of another shape", shapes))
        if keys
    ]
    if fields or problems:
        keys = [f"keys {'; '.join(problems)}"] if problems else []
        raise CheckpointError(
            f"{name} is of another architecture than {type(model).__name__}; {'; '.join([*fields, *keys])}"
        )
    model.load_state_dict(renamed)
