"""Other classes for a trained detector: all of its weights but the class heads stay."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from defdetr_ref.config import DeformableDETRConfig

CLASS_HEADS = "class_head"  # in the name of each of their weights
FIRST_STAGE_HEAD = "queries.class_head."  # its channel 0 tells objects from background, whatever their class
FREE_FIELDS = ("num_classes", "dropout", "attention_backend")  # of the config; no other weights depend on them


@dataclass(frozen=True)
class Taken:
    """What a new model has from a trained one.

    kept: names of weights that are as they were.
    anew: names of weights that start anew, those of class heads.
    categories: names of which the class heads' rows are as they were all the same.
    """

    kept: list[str]
    anew: list[str]
    categories: list[str]

    def summary(self) -> str:
        """A sentence for the terminal."""
        total = len(self.kept) + len(self.anew)
        if not self.anew:
            return f"all {total} weights are taken over"
        rows = f", except for what they know of {', '.join(self.categories)}" if self.categories else ""
        return (
            f"{len(self.kept)} of {total} weights are taken over; the class heads start anew{rows}, because the data "
            f"have other classes: {', '.join(self.anew)}"
        )


def start_from(
    source: nn.Module, names: dict[int, str], categories: dict[int, str], changes: dict[str, Any]
) -> tuple[nn.Module, Taken]:
    """A model for `categories` with the weights of `source`.

    source: a trained detector.
    names: category id → name, of its classes, empty if they are not known.
    categories: the same of the data.
    changes: fields of its config to change.

    Class heads are kept where ids and names are those of `source`. Otherwise they start from random weights, but the
    rows of categories with a name that `source` knows are copied, and so is what its first stage knows of objects.
    Raises ValueError for a change that other weights depend on.
    """
    before = asdict(source.config)
    fits = 1 + max(categories) <= source.config.num_classes and (
        all(names.get(number) == name for number, name in categories.items())
        if names
        else 1 + max(categories) == source.config.num_classes
    )
    wanted = {"num_classes": before["num_classes"] if fits else 1 + max(categories), **changes}
    config = DeformableDETRConfig.from_dict({**before, **wanted})
    free = (*FREE_FIELDS, "num_queries") if source.config.two_stage else FREE_FIELDS
    for field in changes:
        if field not in free and getattr(config, field) != getattr(source.config, field):
            raise ValueError(
                f"{field}={changes[field]!r} is not what the weights to start from are of: {before[field]!r}; leave it "
                "out, or start from random weights"
            )
    model = type(source)(config)
    if fits and config.num_classes == source.config.num_classes:
        model.load_state_dict(source.state_dict())
        return model, Taken(list(source.state_dict()), [], [])
    return model, _fill(model, source, names, categories)


@torch.no_grad()
def _fill(model: nn.Module, source: nn.Module, names: dict[int, str], categories: dict[int, str]) -> Taken:
    """Copy all but the class heads, and the rows of those that both know."""
    own, weights = model.state_dict(), source.state_dict()
    heads = [name for name in own if CLASS_HEADS in name]
    kept = [name for name in own if name not in heads]
    ids = {name: number for number, name in names.items()}
    common = {number: ids[name] for number, name in categories.items() if name in ids}  # ours → theirs
    common = {
        ours: theirs
        for ours, theirs in common.items()
        if ours < model.config.num_classes and theirs < source.config.num_classes
    }
    for name in kept:
        own[name].copy_(weights[name])
    for name in heads:
        rows = {0: 0, **common} if name.startswith(FIRST_STAGE_HEAD) else common
        for number, theirs in rows.items():
            own[name][number].copy_(weights[name][theirs])
    return Taken(kept, heads, [categories[number] for number in common])
