"""Which augmentation suits which data."""

import pytest

from defdetr_ref.cli import build_parser
from defdetr_ref.cli.common import eval_transform, load_dataset, train_transform
from defdetr_ref.data.transforms import EvalTransform, PaperTrainTransform, PlainTransform
from defdetr_ref.training import notes_of


def edited_set(drawn, **info):
    """The drawn training set with other entries in its info; None removes one."""
    args = build_parser().parse_args(["eval", "x", "--data", str(drawn)])
    dataset = load_dataset((drawn / "train", drawn / "train.json"), args)
    dataset.info = {key: value for key, value in {**dataset.info, **info}.items() if value is not None}
    dataset.size_classes = dataset.info.get("size_classes")
    return dataset


@pytest.mark.parametrize(
    ("augment", "info", "kind", "flip"),
    [
        (None, {}, PlainTransform, True),
        (None, {"flip": False}, PlainTransform, False),
        ("flip", {"flip": False}, PlainTransform, True),
        ("none", {}, PlainTransform, False),
        ("paper", {}, PaperTrainTransform, None),
        (None, {"size_classes": None}, PaperTrainTransform, None),
        ("none", {"size_classes": None}, PlainTransform, False),
    ],
)
def test_augmentation_suits_the_data(drawn, augment, info, kind, flip):
    dataset = edited_set(drawn, **info)
    dataset.transform = transform = train_transform(augment, dataset)
    assert type(transform) is kind
    assert getattr(transform, "flip", None) is flip
    wanted = EvalTransform if kind is PaperTrainTransform else PlainTransform
    assert type(eval_transform(notes_of(dataset)["resize"])) is wanted


def test_digits_are_not_mirrored(drawn):
    dataset = edited_set(drawn)
    dataset.categories = {1: "0", 2: "1"}
    assert train_transform(None, dataset).flip is False
    assert train_transform("flip", dataset).flip is True
