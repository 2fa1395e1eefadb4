"""Weights into another layout and back: bit for bit, and refused where the other code has no such model."""

import re

import pytest
import torch

from defdetr_ref import DetrBaseline, checkpoints
from defdetr_ref.state_dict_keys import to_hugging_face
from tests.small_models import VARIANTS, small_config, small_model

DECODERS_HEADS = ("model.decoder.bbox_embed.", "model.decoder.class_embed.")
PUBLISHED = [name for name in VARIANTS if "paper" not in name]


def same(a, b):
    weights = b.state_dict()
    return all(torch.equal(tensor, weights[key]) for key, tensor in a.state_dict().items()) and a.config == b.config


@pytest.mark.parametrize("variant", PUBLISHED)
def test_the_published_layout_there_and_back(tmp_path, variant):
    model = small_model(variant)
    checkpoints.save_as(model, tmp_path / "model.pth", layout="official", epoch=7)
    assert same(model, checkpoints.build_model(tmp_path / "model.pth"))
    content = checkpoints.read(tmp_path / "model.pth")
    assert content["epoch"] == 7 and content["args"].with_box_refine == model.config.box_refine
    assert {key.split(".")[0] for key in content["model"]} >= {"backbone", "transformer", "input_proj", "class_embed"}


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_our_own_layout_in_both_formats(tmp_path, name):
    model = small_model("refine from the paper's box")
    checkpoints.save_as(model, tmp_path / name, epoch=7)
    assert same(model, checkpoints.build_model(tmp_path / name)) and checkpoints.read(tmp_path / name)["epoch"] == 7


def test_what_the_other_code_does_not_have_is_refused_by_the_field(tmp_path):
    paper, path = small_model("refine from the paper's box"), tmp_path / "model"
    for layout, model, words in (
        ("official", paper, "initial_box is 'paper'"),
        ("huggingface", small_model("multi"), "backbone is 'small'; transformers' Deformable DETR has 'resnet50'"),
        ("huggingface", DetrBaseline(small_config("multi")), "is of a DeformableDETR, not of a DetrBaseline"),
        ("official", DetrBaseline(small_config("multi")), "is of a DeformableDETR, not of a DetrBaseline"),
        ("theirs", paper, "layout is 'theirs'; choose from ours, official, huggingface"),
    ):
        with pytest.raises(ValueError, match=words):
            checkpoints.save_as(model, path, layout=layout)
    with pytest.raises(ValueError, match=r"call it model\.pth"):
        checkpoints.save_as(small_model("multi"), tmp_path / "model.safetensors", layout="official")
    assert list(tmp_path.iterdir()) == []


def renamed(state_dict, *pairs):
    for old, new in pairs:
        state_dict = {key.replace(old, new): tensor for key, tensor in state_dict.items()}
    return state_dict


@pytest.mark.parametrize("variant", PUBLISHED)
def test_names_of_transformers_in_memory_and_tied_heads_left_out(variant):
    model = small_model(variant)
    in_file = to_hugging_face(model.state_dict(), model.config)
    in_memory = renamed(in_file, (".fc", ".mlp.fc"), ("self_attn.out_proj", "self_attn.o_proj"))
    kept = [in_file, in_memory]
    if model.config.box_refine:  # a head under the one name or under the other
        kept.append({key: tensor for key, tensor in in_file.items() if "model.decoder." + key not in in_file})
        kept.append({key: tensor for key, tensor in in_file.items() if not key.startswith(DECODERS_HEADS)})
    else:  # one pair of heads
        kept.append({key: tensor for key, tensor in in_file.items() if not re.match(r"(bbox|class)_embed\.[12]", key)})
    assert all(len(state_dict) < len(in_file) for state_dict in kept[2:])
    for state_dict in kept:
        other = small_model(variant, seed=1)
        checkpoints.load(other, state_dict)
        assert same(model, other)


def test_heads_that_are_missing_are_not_made_up():
    model = small_model("refine")
    in_file = to_hugging_face(model.state_dict(), model.config)
    fewer = {key: tensor for key, tensor in in_file.items() if "class_embed.1." not in key}
    with pytest.raises(checkpoints.CheckpointError, match=r"2 missing: class_embed\.1\.bias, class_embed\.1\.weight"):
        checkpoints.load(small_model("refine", seed=1), fewer)
