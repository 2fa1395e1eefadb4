"""Our .safetensors files: the same model and notes come back, and the same go in as the same bytes."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from defdetr_ref import DetrBaseline, checkpoints
from tests.small_models import small_batch, small_config, small_model

NOTES = {"epoch": 3, "categories": {1: "disc", 4: "räd"}, "AP": 0.25, "resize": "none", "sizes": [[0, 1.5], None]}


def metadata_of(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


@pytest.mark.parametrize("model_class", [None, DetrBaseline])
def test_the_model_is_built_with_the_very_weights_and_the_notes_are_read(tmp_path, model_class):
    model = small_model("multi") if model_class is None else model_class(small_config("multi"))
    checkpoints.save_safetensors(tmp_path / "model.safetensors", model, **NOTES)
    built = checkpoints.build_model(tmp_path / "model.safetensors")
    assert type(built) is type(model) and built.config == model.config and not built.training
    weights = built.state_dict()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in model.state_dict().items())
    content = checkpoints.read(tmp_path / "model.safetensors")
    assert {name: content[name] for name in NOTES} == NOTES
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_the_space_read_back_as_float32(tmp_path, dtype):
    model = small_model("refine")
    for name, kwargs in {"whole": {}, "half": {"dtype": dtype}}.items():
        checkpoints.save_safetensors(tmp_path / f"{name}.safetensors", model, **kwargs)
    assert load_file(tmp_path / "half.safetensors")["pyramid.level_embed"].dtype == dtype
    built = checkpoints.build_model(tmp_path / "half.safetensors")
    weights = built.state_dict()
    for key, tensor in model.state_dict().items():
        assert weights[key].dtype == tensor.dtype
        assert torch.equal(weights[key], tensor.to(dtype).float() if tensor.is_floating_point() else tensor)
    assert checkpoints.read(tmp_path / "half.safetensors")["model"]["pyramid.level_embed"].dtype == torch.float32
    half, whole = (sum(t.nbytes for t in load_file(tmp_path / f"{n}.safetensors").values()) for n in ("half", "whole"))
    assert half < 0.51 * whole
    images, mask, _ = small_batch()
    with torch.no_grad():
        boxes, wanted = (one(images, mask)["pred_boxes"] for one in (built, model))
    torch.testing.assert_close(boxes, wanted, atol=0.02, rtol=0)


def test_the_header_says_what_is_inside(tmp_path):
    model = small_model("single")
    checkpoints.save_safetensors(tmp_path / "model.safetensors", model, epoch=2)
    metadata = metadata_of(tmp_path / "model.safetensors")
    assert set(metadata) == {"format", "model_class", "config", "notes", "digest"}
    assert (metadata["format"], metadata["model_class"]) == (checkpoints.FORMAT, "DeformableDETR")
    assert json.loads(metadata["config"])["d_model"] == 32 and json.loads(metadata["notes"]) == {"epoch": 2}
    digests = json.loads(metadata["digest"])
    assert set(digests) == {*model.state_dict(), "__metadata__"} and {len(one) for one in digests.values()} == {64}


def test_the_same_content_is_the_same_bytes(tmp_path):
    for name, notes in {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}.items():
        checkpoints.save_safetensors(tmp_path / f"{name}.safetensors", small_model(), **notes)
    a, b, c = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b != c
    header = json.loads(a[8 : 8 + int.from_bytes(a[:8], "little")])
    assert list(header["__metadata__"]) == sorted(header["__metadata__"])
    assert (8 + int.from_bytes(a[:8], "little")) % 8 == 0


@pytest.mark.parametrize(
    "value", [torch.zeros(2), {1.5: "a"}, {"1": "a"}, float("nan"), {1: "a", "b": "c"}, {"deep": [{2: {"3": 4}}]}]
)
def test_a_note_that_would_come_back_changed_is_refused_by_name(tmp_path, value):
    with pytest.raises(ValueError, match="the note 'odd' cannot be stored as JSON"):
        checkpoints.save_safetensors(tmp_path / "model.safetensors", small_model("single"), fine=1, odd=value)
    assert list(tmp_path.iterdir()) == []


def test_tuples_come_back_as_lists(tmp_path):
    checkpoints.save_safetensors(tmp_path / "model.safetensors", small_model("single"), sizes=((1, 2), {3: (4,)}))
    assert checkpoints.read(tmp_path / "model.safetensors")["sizes"] == [[1, 2], {3: [4]}]


def test_what_cannot_be_stored_is_refused_and_leaves_the_old_file(tmp_path):
    path, model = tmp_path / "model.safetensors", small_model("single")
    checkpoints.save_safetensors(path, model, epoch=1)
    with pytest.raises(ValueError, match=r"dtype is torch\.int16; weights are stored as torch\.float16"):
        checkpoints.save_safetensors(path, model, dtype=torch.int16)
    for save in (checkpoints.save, checkpoints.save_safetensors):
        with pytest.raises(ValueError, match="'config' is an entry of every checkpoint"):
            save(path, model, config={})
    with torch.no_grad():
        model.pyramid.level_embed[0, 1] = 7e4
    with pytest.raises(ValueError, match=r"pyramid\.level_embed holds numbers too large for torch\.float16"):
        checkpoints.save_safetensors(path, model, dtype=torch.float16)
    assert checkpoints.read(path)["epoch"] == 1 and [file.name for file in tmp_path.iterdir()] == [path.name]
