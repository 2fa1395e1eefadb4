"""`defdetr convert`."""

import torch

from defdetr_ref import checkpoints, zoo
from tests.cli.commands import SMALL, defdetr


def test_there_and_back_bit_for_bit(trained, tmp_path, capsys):
    there, back = tmp_path / "official.pth", tmp_path / "ours.safetensors"
    assert defdetr("convert", trained / "best.pt", there, "--layout", "official") == 0
    assert defdetr("convert", there, back) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{back}: ")
    first, last = (checkpoints.build_model(path) for path in (trained / "best.pt", back))
    weights = last.state_dict()
    assert first.config == last.config
    assert all(torch.equal(tensor, weights[key]) for key, tensor in first.state_dict().items())
    notes = [checkpoints.read(path) for path in (trained / "best.pt", back)]
    assert {"categories", "resize", "epoch"} < notes[1].keys() and "train_config" not in notes[1]
    assert notes[1]["categories"] == notes[0]["categories"]


def test_a_file_that_does_not_say_its_model_needs_a_preset(trained, tmp_path, capsys):
    bare, out = tmp_path / "bare.pth", tmp_path / "ours.pt"
    model = checkpoints.build_model(trained / "last.pt")
    torch.save(model.state_dict(), bare)
    assert defdetr("convert", bare, out) == 2
    assert "with defdetr convert --preset" in capsys.readouterr().err
    classes = f"num_classes={model.config.num_classes}"
    assert defdetr("convert", bare, out, "--preset", "tiny", *SMALL, classes) == 0
    assert checkpoints.build_model(out).config == model.config


def test_a_detector_of_the_zoo_by_its_name(tmp_path, capsys):
    assert defdetr("convert", "zoo:shapes", tmp_path / "theirs.pth", "--layout", "official") == 0
    back = checkpoints.build_model(tmp_path / "theirs.pth").state_dict()
    assert all(torch.equal(one, back[key]) for key, one in zoo.load("shapes").state_dict().items())
    assert defdetr("convert", "zoo:shapes", tmp_path / "folder", "--layout", "huggingface") == 2
    assert "backbone is 'small'; transformers' Deformable DETR has 'resnet50' only" in capsys.readouterr().err
    assert not (tmp_path / "folder").exists()
