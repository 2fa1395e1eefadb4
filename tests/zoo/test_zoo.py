"""The detectors that ship: each loads, is as good as its card says, and was made as its recipe says."""

import dataclasses
import shutil

import pytest
import torch

from defdetr_ref import checkpoints, zoo
from defdetr_ref.evaluation import METRICS, evaluate
from defdetr_ref.zoo.recipes import RECIPES
from defdetr_ref.zoo.training import TEST, held_out

MEGABYTE = 1e6
LARGEST_FILE, LARGEST_SERIES = 5 * MEGABYTE, 12 * MEGABYTE
NEAR = 0.01  # of AP
EARLIER = [(name, int(epoch)) for name in zoo.names() for epoch in zoo.card(name)["epochs"]]


def as_json(config) -> dict:
    """As a config reads in a card: lists for tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(config).items()
    }


def test_the_zoo_is_not_empty():
    assert "shapes" in zoo.names() and set(zoo.names()) <= set(RECIPES)


@pytest.mark.parametrize("name", zoo.names())
def test_a_card_says_how_its_detector_was_made(name):
    card, recipe = zoo.card(name), RECIPES[name]
    assert card["name"] == name and card["command"] == f"defdetr zoo train {name}"
    assert card["train"] == recipe.train.identity() and card["seed"] == recipe.train.seed
    assert card["model"] == as_json(recipe.new_model().config) and card["model_class"] == recipe.model_class
    assert card["test"] == TEST and set(card["metrics"]) == set(METRICS)
    assert list(card["epochs"]) == [str(epoch) for epoch in recipe.kept_epochs]
    assert card["seconds"] > 0 and card["machine"]["processor"] and card["versions"]["torch"]


@pytest.mark.parametrize("name", zoo.names())
def test_a_detector_comes_ready_to_use(name):
    model, card = zoo.load(name), zoo.card(name)
    assert not model.training and type(model).__name__ == card["model_class"]
    assert all(one.dtype == torch.float32 for one in model.parameters())
    assert sum(one.numel() for one in model.parameters()) == card["parameters"]
    notes = checkpoints.read(zoo.weights_path(name))
    assert notes["image_size"] == list(RECIPES[name].train_set().image_size)
    assert notes["resize"] == "none" and max(notes["categories"]) == model.config.num_classes - 1


@pytest.mark.parametrize("name", zoo.names())
def test_the_files_are_small(name):
    card = zoo.card(name)
    assert zoo.weights_path(name).stat().st_size == card["bytes"] <= LARGEST_FILE
    series = [zoo.weights_path(name, int(epoch)).stat().st_size for epoch in card["epochs"]]
    assert series == [one["bytes"] for one in card["epochs"].values()] and sum(series) <= LARGEST_SERIES


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_a_detector_is_as_good_as_its_card_says(name, tmp_path):
    card = zoo.card(name)
    few = held_out(card["data"], tmp_path, images=200, seed=TEST["seed"])  # the first 200 of the 500 of the card
    metrics = evaluate(zoo.load(name), few, progress=False)
    assert metrics["AP"] == pytest.approx(card["metrics"]["AP"], abs=NEAR)


def test_a_later_epoch_is_another_and_a_better_detector():
    card = zoo.card("shapes")
    figures = [one["metrics"]["AP"] for one in card["epochs"].values()] + [card["metrics"]["AP"]]
    assert figures == sorted(figures) and len(set(figures)) == len(figures) > 3


@pytest.mark.parametrize(("name", "epoch"), EARLIER)
def test_an_earlier_epoch_loads(name, epoch):
    early, last = zoo.load(name, epoch=epoch), zoo.load(name)
    assert early.config == last.config and not early.training
    assert checkpoints.read(zoo.weights_path(name, epoch))["epoch"] == epoch
    key = "decoder.class_heads.0.weight"
    assert not torch.equal(early.state_dict()[key], last.state_dict()[key])


def test_an_unknown_name_lists_those_that_exist():
    for wrong in (zoo.load, zoo.card, zoo.weights_path):
        with pytest.raises(ValueError, match=r"the zoo has no detector 'lions'; it has .*shapes"):
            wrong("lions")


def test_an_unknown_epoch_lists_those_that_exist():
    with pytest.raises(ValueError, match=r"no weights of 'shapes' after epoch 3; it has those of epochs 1, 2, 4"):
        zoo.load("shapes", epoch=3)


def test_damaged_weights_are_named(tmp_path, monkeypatch):
    shutil.copytree(zoo.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path / "weights")
    path = tmp_path / "weights" / "shapes.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 4
    path.write_bytes(content)
    with pytest.raises(checkpoints.CheckpointError, match=r"shapes\.safetensors is damaged"):
        zoo.load("shapes")


def test_a_path_is_a_path_and_a_name_is_a_name():
    assert zoo.path_of("runs/first/best.pt").as_posix() == "runs/first/best.pt"
    assert zoo.path_of("zoo:shapes") == zoo.weights_path("shapes")
    with pytest.raises(ValueError, match="no detector 'lions'"):
        zoo.path_of("zoo:lions")
