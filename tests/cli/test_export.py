"""`defdetr export`, and `defdetr detect --onnx`, on a trained two-stage detector."""

import json
import os

import pytest
import torch

from defdetr_ref import checkpoints
from tests.cli.commands import defdetr
from tests.export.tracing import assert_same, shapes_unchecked


@pytest.fixture(scope="session")
def exported(trained):
    path = trained / "exported" / "two.onnx"
    with shapes_unchecked():
        assert defdetr("export", trained / "last.pt", "--format", "onnx", "--with-points", "--out", path) == 0
    assert os.listdir(path.parent) == ["two.onnx"]
    return path


@pytest.mark.slow
def test_detecting_with_the_file_is_detecting_with_the_checkpoint(exported, trained, drawn, tmp_path, capsys):
    pictures = sorted((drawn / "val").glob("*.png"))[:2]
    found = {}
    for option, file in (("--onnx", exported), ("--checkpoint", trained / "last.pt")):
        out = tmp_path / option.strip("-")
        assert defdetr("detect", *pictures, option, file, "--out", out, "--threshold", 0) == 0
        found[option] = json.loads((out / "detections.json").read_text(encoding="utf-8"))
    assert len(found["--onnx"]) == len(found["--checkpoint"]) > 0
    # equal scores may change places: boxes are compared category by category
    for one in found.values():
        one.sort(key=lambda row: (row["image"], row["category"], row["box"]))
    for ours, theirs in zip(found["--onnx"], found["--checkpoint"], strict=True):
        assert ours["image"] == theirs["image"] and ours["category"] == theirs["category"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)
        assert ours["box"] == pytest.approx(theirs["box"], abs=1e-2)  # pixels
    capsys.readouterr()
    assert defdetr("detect", *pictures, "--onnx", exported, "--device", "cuda") == 2
    assert "an ONNX file runs on the CPU" in capsys.readouterr().err


@pytest.mark.slow
def test_two_stages_on_other_sizes_with_proposals(exported, trained):
    from defdetr_ref.export import OnnxDetector

    model, detector = checkpoints.build_model(trained / "last.pt"), OnnxDetector(exported)
    for size in ((2, 3, 101, 150), (3, 3, 128, 70)):
        images = torch.randn(*size, generator=torch.Generator().manual_seed(1))
        outputs = detector(images)
        assert_same(outputs, model, images, order_counts=False)
        for name in ("pred_logits", "pred_boxes"):
            with torch.no_grad():
                wanted = model(images)["enc_outputs"][name]
            torch.testing.assert_close(outputs[f"enc_outputs.{name}"], wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export", "CHECKPOINT", "--format", "tflite"], "argument --format: invalid choice: 'tflite'"),
        (["export", "CHECKPOINT", "--precision", "int4"], "argument --precision: invalid choice: 'int4'"),
        (["export", "CHECKPOINT", "--out", "FOLDER"], "is a folder; name a file"),
        (["export", "FOLDER/none.pt", "--out", "new.onnx"], "none.pt does not exist"),
        (["detect", "a.png", "--onnx", "FOLDER/none.onnx"], "there is no ONNX file"),
        (["detect", "a.png", "--onnx", "CHECKPOINT"], "is not a graph that ONNX Runtime can open"),
        (["detect", "a.png", "--onnx", "a.onnx", "--checkpoint", "b.pt"], "not allowed with argument"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(words, sentence, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    names = {"CHECKPOINT": str(trained / "last.pt"), "FOLDER": str(tmp_path / "folder")}
    for name, path in names.items():
        words = [word.replace(name, path) for word in words]
    assert defdetr(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == []
