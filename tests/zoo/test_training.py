"""A detector of the zoo, made from its recipe: a small one here."""

import json
from dataclasses import replace

import pytest
import torch

from defdetr_ref import checkpoints, zoo
from defdetr_ref.evaluation import evaluate
from defdetr_ref.training import trainer
from defdetr_ref.zoo import recipes, training
from defdetr_ref.zoo.recipes import RECIPES, Recipe, schedule
from defdetr_ref.zoo.training import held_out, train_detector

SMALL = dict(d_model=32, num_heads=4, num_points=2, encoder_layers=1, decoder_layers=2, d_ffn=40, num_queries=9)
QUICK = Recipe("Small.", "shapes", schedule(3, batch_size=3, eval_every=2), model=SMALL, kept_epochs=(1, 2))


@pytest.fixture
def quick(monkeypatch):
    """The recipe "quick", and sets of a few images."""
    monkeypatch.setitem(RECIPES, "quick", QUICK)
    monkeypatch.setattr(recipes, "IMAGES_PER_EPOCH", 7)
    monkeypatch.setattr(training, "VALIDATION", {"images": 2, "seed": 1})
    monkeypatch.setattr(training, "TEST", {"images": 4, "seed": 9})


def card_of(folder) -> dict:
    return json.loads((folder / "quick.json").read_text(encoding="utf-8"))


def test_weights_and_card_of_a_recipe(quick, tmp_path):
    path = train_detector("quick", tmp_path, progress=False)
    card = card_of(tmp_path)
    assert path == tmp_path / "quick.safetensors" and card["command"] == "defdetr zoo train quick"
    assert (card["steps"], card["test"], card["stored"]) == (6, {"images": 4, "seed": 9}, "float16")

    model = checkpoints.build_model(path)
    judged = evaluate(model, held_out("shapes", tmp_path, images=4, seed=9), progress=False)
    assert card["metrics"]["AP50"] == pytest.approx(judged["AP50"]) and card["bytes"] == path.stat().st_size
    trained = checkpoints.read(tmp_path / "quick" / "last.pt")["model"]
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, trained[key].half().to(tensor.dtype), atol=0, rtol=0)

    assert {part: len(shares) for part, shares in card["outside"].items()} == {"encoder": 1, "decoder": 2}
    assert all(0 < share < 1 for share in card["outside"]["encoder"])
    assert list(card["epochs"]) == ["1", "2"]
    for epoch, one in card["epochs"].items():
        early = tmp_path / f"quick-epoch-{epoch}.safetensors"
        assert one["stored"] == "int8" and one["bytes"] == early.stat().st_size < 0.7 * card["bytes"]
        assert checkpoints.read(early)["epoch"] == int(epoch)
        kept = checkpoints.read(tmp_path / "quick" / f"epoch-{epoch}.pt")["model"]["pyramid.level_embed"]
        torch.testing.assert_close(
            checkpoints.build_model(early).state_dict()["pyramid.level_embed"], kept, atol=0.02, rtol=0
        )


def test_an_interrupted_training_goes_on_to_the_same_weights(quick, tmp_path, monkeypatch):
    whole = train_detector("quick", tmp_path / "whole", progress=False)
    save = trainer.Trainer.save

    def save_and_stop(self, *arguments):
        save(self, *arguments)
        if self.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trainer.Trainer, "save", save_and_stop)
        train_detector("quick", tmp_path / "parts", progress=False)
    assert not (tmp_path / "parts" / "quick.safetensors").exists()
    again = train_detector("quick", tmp_path / "parts", progress=False)
    assert again.read_bytes() == whole.read_bytes()
    assert card_of(tmp_path / "parts")["metrics"] == card_of(tmp_path / "whole")["metrics"]


def test_a_run_of_other_settings_is_not_gone_on_with(quick, tmp_path, monkeypatch):
    train_detector("quick", tmp_path, progress=False)
    monkeypatch.setitem(RECIPES, "quick", Recipe("Small.", "shapes", schedule(3, batch_size=3, lr=5e-4), model=SMALL))
    with pytest.raises(ValueError, match="was started with lr=0.001"):
        train_detector("quick", tmp_path, progress=False)


def test_an_unknown_recipe_lists_those_that_exist(tmp_path):
    with pytest.raises(ValueError, match=r"no recipe for 'lions'; choose from shapes, digits"):
        train_detector("lions", tmp_path)


def test_a_backbone_of_the_zoo_is_begun_with_and_not_trained_on(quick, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "quick", replace(QUICK, backbone="shapes"))
    train_detector("quick", tmp_path, progress=False)
    trained = checkpoints.read_model(tmp_path / "quick" / "last.pt")[0]
    backbone = dict(zoo.load("shapes").backbone.named_parameters())
    assert backbone and trained.backbone.state_dict().keys() >= backbone.keys()
    for key, weight in trained.backbone.named_parameters():
        torch.testing.assert_close(weight, backbone[key], atol=0, rtol=0)
    first = RECIPES["quick"].new_model()
    assert not torch.equal(trained.pyramid.level_embed, first.pyramid.level_embed)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_makes_its_model_and_its_images(name):
    if RECIPES[name].data == "digits":
        pytest.importorskip("sklearn")
    recipe = RECIPES[name]
    model, dataset = recipe.new_model(), recipe.train_set()
    assert type(model).__name__ == recipe.model_class
    assert model.config.num_classes == max(dataset.categories) + 1 == (6 if recipe.data == "shapes" else 11)
    images, targets = zip(*(dataset[index] for index in range(3)), strict=True)
    assert torch.stack(images).shape == (3, 3, 128, 128) and len(dataset) == recipes.IMAGES_PER_EPOCH
    with torch.no_grad():
        assert model(torch.stack(images))["pred_boxes"].shape == (3, model.config.num_queries, 4)
    assert sum(len(target["labels"]) for target in targets) > 0


def test_dense_attention_reads_nothing_outside(quick, tmp_path):
    model = Recipe("Dense.", "shapes", QUICK.train, "DetrBaseline", {**SMALL, **recipes.PLAIN}).new_model()
    assert training.share_outside(model, held_out("shapes", tmp_path, images=2, seed=9)) == {}
