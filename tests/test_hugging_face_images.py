"""transformers' preprocessor_config.json: images prepared as it says, or refused by the name of its field."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from defdetr_ref import checkpoints
from defdetr_ref.cli.common import eval_transform
from defdetr_ref.hugging_face_images import NAME, read_resize, to_json


@pytest.mark.parametrize("resize", ["none", "paper", [90, 120], (64, 64)])
def test_there_and_back(resize, tmp_path):
    assert read_resize(tmp_path) is None
    (tmp_path / NAME).write_text(json.dumps(to_json(resize)), encoding="utf-8")
    assert read_resize(tmp_path) == (list(resize) if isinstance(resize, tuple) else resize)


@pytest.mark.parametrize("resize", ["none", "paper", [90, 120]])
def test_transformers_prepares_the_same_pixels(resize, tmp_path):
    transformers = pytest.importorskip("transformers")
    (tmp_path / NAME).write_text(json.dumps(to_json(resize)), encoding="utf-8")
    theirs = transformers.DeformableDetrImageProcessorPil.from_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path / "again")
    assert read_resize(tmp_path / "again") == resize
    pixels = np.random.default_rng(0).integers(0, 256, (75, 97, 3), dtype=np.uint8)
    ours, _ = eval_transform(resize)(Image.fromarray(pixels), {"boxes": torch.zeros(0, 4)}, np.random.default_rng(1))
    expected = theirs(Image.fromarray(pixels), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_what_transformers_4_wrote(tmp_path):
    for content, resize in (
        ({"size": 800, "max_size": 1333, "do_normalize": True}, "paper"),
        ({"size": 800}, "paper"),
        ({"size": 480, "max_size": 640}, [480, 640]),
        ({}, "paper"),
        ({"do_center_crop": None, "crop_size": None}, "paper"),
    ):
        (tmp_path / NAME).write_text(json.dumps(content), encoding="utf-8")
        assert read_resize(tmp_path) == resize


REFUSED = {
    "image_mean = [0.5, 0.5, 0.5]; this package has [0.485, 0.456, 0.406] only": {"image_mean": [0.5] * 3},
    "image_mean = [0.485, 0.456]; this": {"image_mean": [0.485, 0.456]},
    "image_std = 0.5; this package has [0.229, 0.224, 0.225] only": {"image_std": 0.5},
    "do_normalize = False; this package has True only": {"do_normalize": False},
    "do_normalize = None; this package has True only": {"do_normalize": None},
    "do_rescale = False; this package has True only": {"do_rescale": False},
    "rescale_factor = 1; this": {"rescale_factor": 1},
    "rescale_factor = None; this": {"rescale_factor": None},
    "do_center_crop = True; this package has False only": {"do_center_crop": True},
    "resample = 3; this package resizes bilinearly, which is 2. If you prepare the images": {"resample": 3},
    "do_resize = 'false'; it must be true or false": {"do_resize": "false"},
    "size = {'height': 480, 'width': 640}; this package knows a short": {"size": {"height": 480, "width": 640}},
    "size = {'shortest_edge': 800}; this": {"size": {"shortest_edge": 800}},
    "size = {'shortest_edge': 80, 'longest_edge': 79}; ": {"size": {"shortest_edge": 80, "longest_edge": 79}},
    "size = {'shortest_edge': 0, 'longest_edge': 79}; ": {"size": {"shortest_edge": 0, "longest_edge": 79}},
    "size = 'none'; ": {"size": "none"},
    "size = {'shortest_edge': True, 'longest_edge': 1333}": {"size": True},
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_this_package_prepares_otherwise_is_refused_by_the_field(words, tmp_path):
    (tmp_path / NAME).write_text(json.dumps(to_json("paper") | REFUSED[words]), encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "deformable_detr"}', encoding="utf-8")
    with pytest.raises(checkpoints.CheckpointError) as told:
        checkpoints.read(tmp_path)
    assert f"{tmp_path / NAME} has {words}" in str(told.value)


def test_files_that_are_none(tmp_path):
    for text, words in (("{", "is not JSON"), ("[" * 100_000, "is not JSON"), ("[1]", "holds a list, not how images")):
        (tmp_path / NAME).write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=words):
            read_resize(tmp_path)
