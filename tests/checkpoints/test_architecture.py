"""Weights of another model than the one at hand, and files that say what is not so: each is told by the field."""

import argparse
import dataclasses

import pytest
import torch

from defdetr_ref import DeformableDETR, DetrBaseline, checkpoints
from defdetr_ref.state_dict_keys import to_hugging_face, to_official
from tests.small_models import VARIANTS, small_config, small_model

LAYOUTS = {
    "ours": lambda model: model.state_dict(),
    "official": lambda model: to_official(model.state_dict(), model.config),
    "huggingface": lambda model: to_hugging_face(model.state_dict(), model.config),
}
OTHERS = {
    "multi": ("refine", "box_refine is False there and True here"),
    "refine": ("multi", "box_refine is True there and False here"),
    "two": ("refine", "two_stage is True there and False here"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("variant", OTHERS)
def test_weights_of_another_variant_are_refused_by_the_field(variant, layout):
    other, words = OTHERS[variant]
    model, before = small_model(other), small_model(other)
    with pytest.raises(checkpoints.CheckpointError, match=rf"\({layout} layout\).*config\.{words}"):
        checkpoints.load(model, LAYOUTS[layout](small_model(variant, seed=1)))
    assert all(torch.equal(tensor, before.state_dict()[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("layout", ["ours", "official"])
def test_files_say_it_even_where_weights_cannot(tmp_path, layout):
    """Before training, the heads of all layers are alike in either variant that starts from zero."""
    trained, path = small_model("two"), tmp_path / "model.pth"
    checkpoints.save_as(trained, path, layout=layout)
    for changes, words in {"num_heads=2 num_points=6": "num_heads is 4 there and 2 here"}.items():
        fields = dict((name, int(value)) for name, value in (word.split("=") for word in changes.split()))
        with pytest.raises(checkpoints.CheckpointError, match=words):
            checkpoints.load(small_model("two", **fields), path)
    checkpoints.load(small_model("two", num_queries=5), path)  # keeps fewer proposals: the user's choice
    plain, paper = (small_model(variant) for variant in ("refine", "refine from the paper's box"))
    checkpoints.save_as(plain, path, layout=layout)
    with pytest.raises(checkpoints.CheckpointError, match="initial_box is 'published' there and 'paper' here"):
        checkpoints.load(paper, path)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("perturbed", [True, False])
def test_untrained_and_trained_weights_of_every_variant_fit_their_own_model(variant, perturbed):
    for layout in LAYOUTS.values():
        checkpoints.load(small_model(variant), layout(small_model(variant, seed=1, perturbed=perturbed)))
    one_layer = {"decoder_layers": 1}
    checkpoints.load(small_model(variant, **one_layer), small_model(variant, seed=1, **one_layer).state_dict())


def test_an_untrained_refining_model_is_no_plain_one():
    untrained = small_model("refine", perturbed=False)
    with pytest.raises(checkpoints.CheckpointError, match="box_refine is True there and False here"):
        checkpoints.load(small_model("multi"), untrained.state_dict())
    with pytest.raises(checkpoints.CheckpointError, match="box_refine is False there and True here"):
        checkpoints.load(untrained, small_model("multi", perturbed=False).state_dict())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(num_classes=6), "num_classes is 5 there and 6 here"),
        (dict(d_ffn=40), "d_ffn is 24 there and 40 here"),
        (dict(num_points=2), "num_heads · num_points is 12 there and 8 here"),
        (dict(encoder_layers=2), "encoder_layers is 1 there and 2 here"),
        (dict(decoder_layers=2), "decoder_layers is 3 there and 2 here"),
        (dict(num_queries=8), "num_queries is 7 there and 8 here"),
        (dict(feature_strides=(8, 16, 32)), r"feature_strides is \(8, 16\) there and \(8, 16, 32\) here"),
        (dict(d_model=64), "d_model is 32 there and 64 here"),
        (dict(num_levels=4), "num_levels is 3 there and 4 here"),
    ],
)
def test_every_field_that_shapes_tell_is_named(changes, words):
    with pytest.raises(checkpoints.CheckpointError, match=words):
        checkpoints.load(small_model("multi", **changes), small_model("multi").state_dict())


def test_the_dense_baseline_is_told_apart(tmp_path):
    dense = DetrBaseline(small_config("multi"))
    checkpoints.save(tmp_path / "dense.pt", dense)
    with pytest.raises(checkpoints.CheckpointError, match="is of a DetrBaseline, not of a DeformableDETR"):
        checkpoints.load(small_model("multi"), tmp_path / "dense.pt")
    checkpoints.load(DetrBaseline(small_config("two")), tmp_path / "dense.pt")  # it ignores the variants
    with pytest.raises(checkpoints.CheckpointError, match="config.num_queries is 7 there and 9 here"):
        checkpoints.load(DetrBaseline(small_config("multi", num_queries=9)), tmp_path / "dense.pt")


# ------------------------------------------------------------------------------------- files that say what is not so


def written(path, **changes):
    """A file of ours with other entries; a change to None takes an entry out."""
    model = small_model("refine")
    content = {
        "format": checkpoints.FORMAT,
        "model_class": "DeformableDETR",
        "config": dataclasses.asdict(model.config),
        "model": model.state_dict(),
    }
    torch.save({key: value for key, value in (content | changes).items() if value is not None}, path)
    return path


def config(**changes):
    return dataclasses.asdict(small_config("refine")) | changes


def without(key):
    return {name: tensor for name, tensor in small_model("refine").state_dict().items() if name != key}


GARBAGE = {
    "a matrix for a number": (dict(config=config(num_heads=torch.eye(3))), r"num_heads is tensor\(\[\[1., 0., 0.\]"),
    "no config": (dict(config=None), "config is None; it must be a dict"),
    "a config that is a list": (dict(config=[1]), r"config is \[1\]"),
    "an unknown field": (dict(config=config(layers=3)), "config has no field layers"),
    "a number as key": (dict(config={3: 4}), "config has no field 3"),
    "a string for a number": (dict(config=config(d_model="32")), "d_model is '32'; it must be a whole number"),
    "a truth for a number": (dict(config=config(num_heads=True)), "num_heads is True"),
    "no strides": (dict(config=config(feature_strides=())), r"feature_strides is \(\); it must be one or more"),
    "no probability": (dict(config=config(dropout=float("nan"))), "dropout is nan"),
    "a width beyond all memory": (dict(config=config(d_model=10**7)), "d_model is 10000000, but its weights are of 32"),
    "layers without end": (dict(config=config(encoder_layers=10**9)), "encoder_layers is 1000000000, but"),
    "levels without end": (dict(config=config(num_levels=10**9)), "num_levels is 1000000000, but"),
    "points without end": (dict(config=config(num_points=10**9)), "num_points is 4000000000, but"),
    "queries without end": (dict(config=config(num_queries=10**12)), "num_queries is 1000000000000, but"),
    "a wide network": (dict(config=config(d_ffn=10**12)), "d_ffn is 1000000000000, but its weights are of 24"),
    "all classes of the world": (dict(config=config(num_classes=10**12)), "num_classes is 1000000000000"),
    "another backbone": (dict(config=config(backbone="resnet50")), "backbone is 'resnet50', but its weights"),
    "a backbone that is none": (dict(config=config(backbone="vgg")), "backbone is 'vgg', but its weights"),
    "a backbone of many letters": (dict(config=config(backbone=9999 * "a")), "backbone is 'aaaa"),
    "a backend of many letters": (dict(config=config(attention_backend=9999 * "a")), "unknown backend 'aaaa"),
    "a first box of many letters": (dict(config=config(initial_box=9999 * "a")), "initial_box is 'aaaa"),
    "a backend that there is not": (dict(config=config(attention_backend="hand")), "unknown backend 'hand'"),
    "another variant": (dict(config=config(box_refine=False)), "box_refine is False, but its weights are of True"),
    "no class of model": (dict(model_class=None), "says that it is of None"),
    "another class of model": (dict(model_class="DetrBaseline"), "says that it is of 'DetrBaseline'"),
    "a class that is a list": (dict(model_class=["x"]), r"says that it is of \['x'\]"),
    "no weights": (dict(model=None), "holds something else than weights: config, format, model_class"),
    "weights that are a list": (dict(model=[1, 2]), "holds something else than weights"),
    "no weight at all": (dict(model={}), "the state dict is empty"),
    "weights that are numbers": (dict(model={"pyramid.level_embed": 3}), "something else than weights: pyramid.level"),
    "keys that are numbers": (dict(model={3: torch.zeros(2)}), "something else than weights: 3"),
    "one number called a matrix": (
        dict(model=without("pyramid.level_embed") | {"pyramid.level_embed": torch.zeros(1).expand(3, 10**7)}),
        "something else than weights: pyramid.level_embed",
    ),
    "a sparse matrix": (
        dict(model=without("pyramid.level_embed") | {"pyramid.level_embed": torch.eye(3).to_sparse()}),
        "something else than weights: pyramid.level_embed",
    ),
    "a weight too few": (dict(model=without("encoder.layers.0.ffn.linear2.bias")), "1 missing: encoder.layers.0.ffn"),
    "no width": (
        dict(model=without("pyramid.level_embed")),
        "d_model is 32, but its weights do not tell it|num_levels",
    ),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_in_a_file_of_ours_is_one_sentence(tmp_path, case):
    changes, words = GARBAGE[case]
    path = written(tmp_path / "model.pt", **changes)
    with pytest.raises(checkpoints.CheckpointError, match=words) as error:
        checkpoints.build_model(path)
    assert "model.pt" in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 400


def test_nothing_is_built_before_the_config_was_compared(tmp_path, monkeypatch):
    path, built = written(tmp_path / "model.pt", config=config(d_model=10**7)), []
    monkeypatch.setattr(DeformableDETR, "__init__", lambda self, config: built.append(config))
    with pytest.raises(checkpoints.CheckpointError, match="d_model"):
        checkpoints.build_model(path)
    assert built == []


# ----------------------------------------------------------------------------------------------- published checkpoints


def test_options_of_the_published_code_that_this_package_does_not_build_are_named(tmp_path):
    path = tmp_path / "model.pth"
    model = small_model("refine")
    checkpoints.save_as(model, path, layout="official")
    content = checkpoints.read(path)
    for option, value, words in (
        ("dilation", True, "its args have dilation = True; this package builds False only"),
        ("position_embedding", "learned", "position_embedding = 'learned'"),
        ("dec_n_points", 9, "different enc_n_points and dec_n_points"),
        ("hidden_dim", 64, "d_model is 64, but its weights are of 32"),
        ("nheads", torch.eye(2), "its args hold something else than options: nheads"),
        ("nheads", "many", "num_heads is 'many'; it must be a whole number"),
    ):
        args = argparse.Namespace(**vars(content["args"]) | {option: value})
        torch.save(content | {"args": args}, path)
        with pytest.raises(checkpoints.CheckpointError, match=words):
            checkpoints.build_model(path)
    args = vars(content["args"])
    del args["nheads"]
    torch.save(content | {"args": argparse.Namespace(**args)}, path)
    with pytest.raises(checkpoints.CheckpointError, match="does not say which model it is of"):
        checkpoints.build_model(path)
    checkpoints.load(small_model("refine", seed=1), path)
    with pytest.raises(checkpoints.CheckpointError, match="box_refine is True there and False here"):
        checkpoints.load(small_model("multi"), path)


def test_two_names_of_a_head_with_different_numbers():
    official = to_official(small_model("refine").state_dict(), small_config("refine"))
    key = "transformer.decoder.bbox_embed.1.layers.0.bias"
    with pytest.raises(checkpoints.CheckpointError, match="bbox_embed.1.layers.0.bias and the decoder's copy of it"):
        checkpoints.load(small_model("refine"), official | {key: official[key] + 1})
