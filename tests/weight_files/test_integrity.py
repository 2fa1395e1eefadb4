"""A file that is not what was written is never loaded, and the damaged entry is named."""

import json
import random
import zipfile

import pytest
import torch

from defdetr_ref import checkpoints
from tests.small_models import small_model

FLIPS = 200


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same model, in both formats."""
    folder = tmp_path_factory.mktemp("files")
    model = small_model("single")
    notes = {"epoch": 3, "categories": {1: "disc"}}
    optimizer = {"state": {0: {"exp_avg": torch.ones(3), "step": torch.ones(1)}, 1: {"exp_avg": torch.zeros(4)}}}
    checkpoints.save(folder / "model.pt", model, optimizer=optimizer, **notes)
    checkpoints.save_safetensors(folder / "model.safetensors", model, **notes)
    return folder


def same(a, b) -> bool:
    """Equal, tensors inside included."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_flipped_bit_is_noticed_or_changes_nothing(files, tmp_path, name):
    """Nothing: such as a date in the zip, or the space between two records."""
    written, good = checkpoints.read(files / name), (files / name).read_bytes()
    rng, refused = random.Random(name), 0
    header = list(range(200)) + list(range(len(good) - 200, len(good)))  # few, but the most delicate bytes
    for attempt in range(FLIPS):
        position = rng.choice(header) if attempt % 4 == 0 else rng.randrange(len(good))
        damaged = bytearray(good)
        damaged[position] ^= 1 << rng.randrange(8)
        (tmp_path / name).write_bytes(damaged)
        try:
            assert same(checkpoints.read(tmp_path / name), written), f"byte {position} was changed without a word"
        except checkpoints.CheckpointError as error:
            assert name in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 0.8 * FLIPS


def flip_in(path, source, offset):
    content = bytearray(source.read_bytes())
    content[offset] ^= 4
    path.write_bytes(content)


def test_the_damaged_entry_of_a_zip_is_named(files, tmp_path):
    weights = checkpoints.read(files / "model.pt")["model"]
    good = (files / "model.pt").read_bytes()
    for key in ("backbone.stem.0.weight", "encoder.layers.0.attention.value_proj.bias", "decoder.class_heads.0.weight"):
        offset = good.index(bytes(weights[key].untyped_storage())) + 5
        flip_in(tmp_path / "model.pt", files / "model.pt", offset)
        with pytest.raises(checkpoints.CheckpointError, match=rf"model\.pt is damaged: the entry '{key}' differs"):
            checkpoints.read(tmp_path / "model.pt")
    with zipfile.ZipFile(files / "model.pt") as archive:
        numbers = [int(name.rsplit("/", 1)[1]) for name in archive.namelist() if "/data/" in name]
        last = archive.getinfo(f"archive/data/{max(numbers)}")
    flip_in(tmp_path / "model.pt", files / "model.pt", good.index(b"archive/data.pkl") + 600)
    with pytest.raises(checkpoints.CheckpointError, match=r"damaged: its record 'data\.pkl' differs"):
        checkpoints.read(tmp_path / "model.pt")
    assert last.file_size == 16
    name_and_padding = good[last.header_offset + 26 : last.header_offset + 30]  # their lengths, two bytes each
    content = last.header_offset + 30 + sum(int.from_bytes(name_and_padding[i : i + 2], "little") for i in (0, 2))
    flip_in(tmp_path / "model.pt", files / "model.pt", content)
    with pytest.raises(checkpoints.CheckpointError, match="damaged: the entry 'exp_avg' differs"):
        checkpoints.read(tmp_path / "model.pt")


def test_the_damaged_entry_of_a_safetensors_file_is_named(files, tmp_path):
    path, good = tmp_path / "model.safetensors", (files / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(good[:8], "little")
    header = json.loads(good[8:start])
    key = "encoder.layers.0.attention_norm.weight"
    flip_in(path, files / "model.safetensors", start + header[key]["data_offsets"][0] + 1)
    with pytest.raises(checkpoints.CheckpointError, match=rf"model\.safetensors is damaged: the entry '{key}' differs"):
        checkpoints.read(path)
    flip_in(path, files / "model.safetensors", good.index(b"disc"))
    with pytest.raises(checkpoints.CheckpointError, match="damaged: the metadata of its header differs"):
        checkpoints.read(path)
    # The list says what no entry is called: a name that was damaged.
    path.write_bytes(good.replace(b'"pyramid.level_embed":{', b'"pyramid.level_embee":{'))
    with pytest.raises(checkpoints.CheckpointError, match="damaged: the entry 'pyramid.level_embe[de]' differs"):
        checkpoints.read(path)
    path.write_bytes(good.replace(b'"digest"', b'"digesu"'))
    with pytest.raises(checkpoints.CheckpointError, match="damaged: the list of checksums itself"):
        checkpoints.read(path)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_named_and_not_loaded(tmp_path, value):
    broken, model = small_model(), small_model(seed=1)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with torch.no_grad():
        broken.encoder.layers[0].ffn.linear1.bias[3] = value
    checkpoints.save(tmp_path / "model.pt", broken)
    checkpoints.save_safetensors(tmp_path / "model.safetensors", broken)
    for source in (tmp_path / "model.pt", tmp_path / "model.safetensors", broken.state_dict()):
        with pytest.raises(
            checkpoints.CheckpointError, match=r"NaN or infinity in encoder\.layers\.0\.ffn\.linear1\.b"
        ):
            checkpoints.load(model, source)
    with pytest.raises(checkpoints.CheckpointError, match="model.pt.* NaN or infinity"):
        checkpoints.build_model(tmp_path / "model.pt")
    assert same(model.state_dict(), before)


def test_a_file_without_checksums_is_read(tmp_path):
    """As PyTorch wrote them when the published checkpoints were made."""
    model, other = small_model(), small_model(seed=1)
    torch.save({"model": model.state_dict()}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(tmp_path / "old.pth")
    checkpoints.load(other, tmp_path / "old.pth")
    assert same(other.state_dict(), model.state_dict())
