"""Which weights a detector for other classes takes over."""

import pytest
import torch

from defdetr_ref.training.fine_tuning import start_from
from tests.small_models import small_model

NAMES = {1: "cat", 2: "dog", 4: "owl"}  # of the five classes of the small models


def test_the_same_classes_keep_every_weight():
    source = small_model("refine")
    for names in (NAMES, {}):
        model, taken = start_from(source, names, NAMES, {"dropout": 0.3})
        assert taken.anew == [] and taken.summary() == f"all {len(taken.kept)} weights are taken over"
        assert model.config.dropout == 0.3
        assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in source.state_dict().items())
    assert start_from(source, NAMES, {1: "cat", 2: "dog"}, {})[0].config.num_classes == 5  # some of them, as they are


@pytest.mark.parametrize("variant", ["multi", "refine", "two"])
@pytest.mark.parametrize(
    ("names", "categories"),
    [
        (NAMES, {1: "dog", 2: "emu", 6: "owl"}),  # 7 classes
        (NAMES, {1: "dog", 2: "cat", 4: "owl"}),  # as many, otherwise
        ({}, {3: "cow", 7: "cat"}),
        ({}, {1: "cow", 2: "cat"}),
    ],
)
def test_other_classes_start_anew_but_for_what_is_known(variant, names, categories):
    source = small_model(variant)
    torch.manual_seed(5)
    model, taken = start_from(source, names, categories, {})
    old, new = source.state_dict(), model.state_dict()
    assert model.config.num_classes == 1 + max(categories)
    assert set(taken.kept) | set(taken.anew) == set(new) and all("class_head" in name for name in taken.anew)
    assert all(torch.equal(old[name], new[name]) for name in taken.kept) and taken.kept
    known = {name: number for number, name in names.items()}
    assert taken.categories == [name for name in categories.values() if name in known]
    for name in taken.anew:
        for number, category in categories.items():
            if category in known:
                assert torch.equal(new[name][number], old[name][known[category]])
            elif number < 5:
                assert not torch.equal(new[name][number], old[name][number])
        assert torch.equal(new[name][0], old[name][0]) == name.startswith("queries.")  # object or background
    assert ("queries.class_head.bias" in taken.anew) == (variant == "two")


def test_the_dense_baseline_too():
    from defdetr_ref.dense import DetrBaseline

    torch.manual_seed(0)
    source = DetrBaseline(small_model("single").config)
    model, taken = start_from(source, NAMES, {1: "cow"}, {})
    assert type(model) is DetrBaseline and taken.anew == ["class_head.weight", "class_head.bias"]


def test_changes_that_weights_depend_on_are_refused():
    with pytest.raises(ValueError, match="d_ffn=48 is not what the weights to start from are of: 24"):
        start_from(small_model("refine"), NAMES, NAMES, {"d_ffn": 48})
    with pytest.raises(ValueError, match="num_queries=9"):
        start_from(small_model("refine"), NAMES, NAMES, {"num_queries": 9})
    assert start_from(small_model("two"), NAMES, NAMES, {"num_queries": 9})[0].config.num_queries == 9
    assert start_from(small_model("two"), NAMES, NAMES, {"d_ffn": 24})[0].config.d_ffn == 24
