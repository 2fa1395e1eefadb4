"""Three layouts in, nothing half-written out, and no code run from a file."""

import argparse
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from defdetr_ref import DetrBaseline, checkpoints
from defdetr_ref.state_dict_keys import source_keys, to_official
from tests.small_models import VARIANTS, small_config, small_model


def same_weights(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def in_hugging_face_layout(model):
    """Our weights as transformers names them."""
    renamed = {}
    for key, tensor in model.state_dict().items():
        sources = source_keys(key, "huggingface", model.config.decoder_layers)
        renamed |= dict(zip(sources, [tensor] if len(sources) == 1 else tensor.chunk(len(sources)), strict=True))
    return renamed


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", ["ours", "official", "huggingface"])
def test_every_layout_is_told_apart_and_loaded(variant, layout):
    model, other = small_model(variant, seed=0), small_model(variant, seed=1)
    assert not same_weights(model, other)
    state_dict = {
        "ours": model.state_dict,
        "official": lambda: to_official(model.state_dict(), model.config),
        "huggingface": lambda: in_hugging_face_layout(model),
    }[layout]()
    checkpoints.load(other, state_dict)
    assert same_weights(model, other)


def test_a_file_of_each_kind(tmp_path):
    model = small_model()
    official = to_official(model.state_dict(), model.config)
    torch.save({"model": official, "epoch": 49, "args": argparse.Namespace(lr=2e-4)}, tmp_path / "published.pth")
    save_file({key: tensor.clone().contiguous() for key, tensor in official.items()}, tmp_path / "weights.safetensors")
    checkpoints.save(tmp_path / "ours.pt", model, epoch=3)
    for name in ("published.pth", "weights.safetensors", "ours.pt"):
        other = small_model(seed=1)
        checkpoints.load(other, tmp_path / name)
        assert same_weights(model, other), name
    assert checkpoints.read(tmp_path / "ours.pt")["epoch"] == 3


@pytest.mark.parametrize("model_class", [None, DetrBaseline])
def test_a_model_is_built_from_its_file(tmp_path, model_class):
    model = small_model() if model_class is None else model_class(small_config("multi"))
    checkpoints.save(tmp_path / "model.pt", model)
    built = checkpoints.build_model(tmp_path / "model.pt")
    assert type(built) is type(model) and built.config == model.config and same_weights(built, model)
    assert not built.training


def test_saving_is_all_or_nothing(tmp_path):
    path, model = tmp_path / "model.pt", small_model()
    checkpoints.save(path, model, epoch=1)
    with pytest.raises(Exception, match="(?i)pickle|local"):
        checkpoints.save(path, model, broken=lambda: None)
    assert checkpoints.read(path)["epoch"] == 1
    checkpoints.save(path, model, epoch=2)
    assert checkpoints.read(path)["epoch"] == 2 and [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_a_file_is_on_the_disk_before_it_replaces_the_old_one(tmp_path, monkeypatch):
    """Or else a power failure could leave a new name for a file that is still empty."""
    steps = []
    sync, replace = os.fsync, os.replace

    def sync_and_tell(descriptor):
        steps.append(("sync", os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))
        sync(descriptor)

    def replace_and_tell(source, target):
        steps.append(("replace", os.stat(source).st_ino, os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", sync_and_tell)
    monkeypatch.setattr(os, "replace", replace_and_tell)
    checkpoints.save(tmp_path / "last.pt", small_model("single"))
    assert [name for name, *_ in steps] == ["sync", "replace"]
    assert steps[0][1:] == steps[1][1:], "the very file, whole"
    assert steps[1][1:] == ((tmp_path / "last.pt").stat().st_ino, (tmp_path / "last.pt").stat().st_size)


def test_another_architecture_lists_the_keys_and_changes_nothing():
    model, before = small_model("refine"), small_model("refine")
    with pytest.raises(checkpoints.CheckpointError, match="2 missing: queries.embedding.weight") as error:
        checkpoints.load(model, {key: t for key, t in model.state_dict().items() if not key.startswith("queries.e")
                                 and key != "queries.reference_points.bias"})  # fmt: skip
    assert "another architecture than DeformableDETR" in str(error.value)
    with pytest.raises(checkpoints.CheckpointError, match=r"not in the model: queries\.box_head"):
        checkpoints.load(model, small_model("two").state_dict())
    with pytest.raises(checkpoints.CheckpointError, match=r"of another shape: .*\(6, 32\) instead of \(5, 32\)"):
        checkpoints.load(model, small_model("refine", num_classes=6).state_dict())
    with pytest.raises(checkpoints.CheckpointError, match="their keys begin with conv.weight"):
        checkpoints.load(model, {"conv.weight": torch.zeros(1)})
    assert same_weights(model, before)


class Malicious:
    def __reduce__(self):
        return (print, ("code in a checkpoint was run",))


def test_files_that_are_refused(tmp_path, capsys):
    model = small_model()
    good = tmp_path / "good.pt"
    checkpoints.save(good, model)
    (tmp_path / "truncated.pt").write_bytes(good.read_bytes()[:-2000])
    (tmp_path / "text.pt").write_text("not a checkpoint", encoding="utf-8")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "bad.safetensors").write_bytes(b"123")
    torch.save(Malicious(), tmp_path / "code.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Malicious()))
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("truncated.pt", "text.pt", "empty.pt", "bad.safetensors", "list.pt"):
        with pytest.raises(checkpoints.CheckpointError, match=name) as error:
            checkpoints.load(model, tmp_path / name)
        assert "\n" not in str(error.value)
    for name in ("code.pt", "plain.pkl"):
        with pytest.raises(checkpoints.CheckpointError, match="refused, because it holds pickled code"):
            checkpoints.load(model, tmp_path / name)
    assert capsys.readouterr().out == ""
    with pytest.raises(FileNotFoundError, match="missing.pt does not exist"):
        checkpoints.load(model, tmp_path / "missing.pt")
    with pytest.raises(checkpoints.CheckpointError, match="does not say which model it is of"):
        torch.save(model.state_dict(), tmp_path / "bare.pt")
        checkpoints.build_model(tmp_path / "bare.pt")
