"""Files of weights: what the page reads, and how it refuses what is damaged or of another kind."""

import json

import pytest
import torch

from defdetr_ref import checkpoints, live
from defdetr_ref.weight_files.writing import description_of, write_safetensors
from tests.live.models import live_model

READ = """async (files) => {
    const { openDetector } = await import("/web/live.js");
    const said = [];
    for (const file of files) {
        try {
            openDetector(await bytesOf(file), null);
            said.push("");
        } catch (error) {
            said.push(error.message);
        }
    }
    return said;
}"""


def read_in_page(live_page, contents: list[bytes]) -> list[str]:
    return live_page.run(READ, [live_page.put(content) for content in contents])


@pytest.fixture
def model():
    return live_model(feature_strides=(8,), num_levels=1, decoder_layers=1)


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def test_damage_is_refused_in_one_sentence(live_page, model, tmp_path):
    content = live.export_weights(
        tmp_path / "model.safetensors", model, "float16", note="größer € 😀 \x7f"
    ).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    bias = header["queries.reference_points.bias"]["data_offsets"][0]
    config = content.index(b"num_queries") + len('num_queries\\": ')
    cases = {
        "": content,
        "the file has 0 bytes": b"",
        "the file ends within its header": content[: start // 2],
        "the file ends before": content[:-4],
        "it goes on after its last entry": content + b"\0",
        "its header is no JSON": flipped(content, 8 + content[8:].index(b":")),
        "no .safetensors file": b"\x89PNG\r\n\x1a\n" + bytes(100),
        '"queries.reference_points.bias" differs from its checksum': flipped(content, start + bias),
        "its metadata differ from their checksum": flipped(content, config),
        "the list of checksums is no JSON": flipped(content, content.index(b'"digest":"{') + len('"digest":"')),
        '"decoder.box_heads.0.layers.0.bias" is missing': content.replace(
            b'"decoder.box_heads.0.layers.0.bias":{', b'"decoder.box_heads.0.layers.1.bias":{', 1
        ),
        "has no shape or no place": content.replace(b'"data_offsets"', b'"data_offsetr"', 1),
        '"backbone.stem.0.weight" differs': content.replace(b"[24,3,3,3]", b"[3,24,3,3]", 1),
    }
    for wanted, said in zip(cases, read_in_page(live_page, list(cases.values())), strict=True):
        assert wanted in said and (said.startswith("weights: ") if wanted else said == ""), (wanted, said)
        assert "\n" not in said and ". " not in said.replace("no .safe", "")


def test_other_files_are_refused_in_one_sentence(live_page, model, tmp_path):
    checkpoints.save(tmp_path / "model.pt", model)
    checkpoints.save_safetensors(tmp_path / "bfloat16", model, dtype=torch.bfloat16)
    tensors = model.state_dict()
    description = description_of(model)
    metadata = {"format": description["format"], "model_class": "DeformableDETR"}
    config = description["config"]
    others = {
        "other class": (tensors, metadata | {"model_class": "FasterRCNN", "config": json.dumps(config)}),
        "resnet": (tensors, metadata | {"config": json.dumps(config | {"backbone": "resnet50"})}),
        "foreign": (tensors, {"made_by": "somebody"}),
        "wider": (tensors, metadata | {"config": json.dumps(config | {"num_heads": 2})}),
        "fewer": (dict(list(tensors.items())[:-1]), metadata | {"config": json.dumps(config)}),
    }
    for name, (weights, words) in others.items():
        write_safetensors(tmp_path / name, weights, words)
    wanted = {
        "other class": "the file is of a FasterRCNN; the page runs a DeformableDETR or a DetrBaseline",
        "model.pt": "this is no .safetensors file; write one by live.export_weights",
        "bfloat16": "is stored as BF16; the page reads F32, F16, I8, I64: ",
        "resnet": 'the model\'s backbone is "resnet50"; the page runs "small" alone',
        "foreign": 'the file is not of the format "defdetr-ref 1"; write it by live.export_weights',
        "wider": "wants a tensor",
        "fewer": "and the file has none",
    }
    said = read_in_page(live_page, [(tmp_path / name).read_bytes() for name in wanted])
    for (name, words), sentence in zip(wanted.items(), said, strict=True):
        assert sentence.startswith("weights: ") and words in sentence, (name, sentence)


@pytest.mark.parametrize("dtype", [torch.float16, "int8"])
def test_the_file_is_a_checkpoint_too(model, tmp_path, dtype):
    path = live.export_weights(tmp_path / "model.safetensors", model.double(), dtype, epoch=4)
    content = checkpoints.read(path)
    assert content["epoch"] == 4 and content["config"]["num_queries"] == model.config.num_queries
    rounded = checkpoints.build_model(path).state_dict()
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(rounded[key], tensor.to(rounded[key].dtype), atol=0.02, rtol=0.01)


def test_float64_is_stored_as_float32(model, tmp_path):
    path = live.export_weights(tmp_path / "model.safetensors", model.double(), torch.float32)
    assert checkpoints.read(path)["model"]["pyramid.level_embed"].dtype == torch.float32


def test_what_the_page_cannot_run_is_not_written(model, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match="the page runs a DeformableDETR or a DetrBaseline, and this is a Linear"):
        live.export_weights(path, torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="dtype is torch.bfloat16; choose torch.float32, torch.float16 or torch.int8"):
        live.export_weights(path, model, torch.bfloat16)
    object.__setattr__(model.config, "backbone", "resnet50")
    with pytest.raises(ValueError, match="backbone is 'resnet50', and the page runs 'small' alone"):
        live.export_weights(path, model)
    object.__setattr__(model.config, "backbone", "small")
    model.pyramid.level_embed.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"pyramid\.level_embed holds NaN or infinity"):
        live.export_weights(path, model, "float32")
    assert not list(tmp_path.iterdir())
