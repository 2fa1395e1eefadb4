"""Exported files compute what the model computes, on batches of other sizes than they were traced with."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from defdetr_ref import DetrBaseline
from defdetr_ref.explain import record
from defdetr_ref.export import OnnxDetector, comparison, export_onnx, onnx_file
from defdetr_ref.inference import evaluation_mode
from tests.export.tracing import assert_same, shapes_unchecked
from tests.small_models import small_config, small_model

PACKAGE = Path(onnx_file.__file__).parents[1]
SIZES = [(2, 101, 150), (3, 96, 65)]  # batch, height, width; traced are 2 of other sides


def exported(model, path, **options):
    with shapes_unchecked():
        differences = export_onnx(model, path, categories={3: "star"}, resize="none", **options)
    assert differences["pred_logits"] < 1e-4 and differences["pred_boxes"] < 1e-5
    assert os.listdir(path.parent) == [path.name]
    assert str(PACKAGE).encode() not in path.read_bytes(), "the file names folders of this machine"
    return OnnxDetector(path)


def images_of(batch, height, width):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height))


@pytest.mark.slow
def test_one_scale(tmp_path):
    model = small_model("single", decoder_layers=2)
    weights, modes = {key: one.clone() for key, one in model.state_dict().items()}, model.train().training
    detector = exported(model, tmp_path / "single.onnx")
    assert model.training == modes and all(torch.equal(one, weights[key]) for key, one in model.state_dict().items())
    assert detector.notes == {"categories": {3: "star"}, "resize": "none"} and detector.config == model.config
    (images,) = detector.session.get_inputs()
    assert (images.name, images.shape) == ("images", ["batch", 3, "height", "width"])
    for size in SIZES:
        assert_same(detector(images_of(*size)), model, images_of(*size))
    with pytest.raises(ValueError, match="smaller than the model's largest stride of 32"):
        detector(images_of(2, 31, 64))


@pytest.mark.slow
def test_many_scales_read_by_gather(tmp_path):
    model = small_model("multi", decoder_layers=2, num_levels=2)
    detector = exported(model, tmp_path / "multi.onnx", sampling="gather")
    assert kinds_of(tmp_path / "multi.onnx").isdisjoint({"GridSample"})
    for size in SIZES:
        assert_same(detector(images_of(*size)), model, images_of(*size))


@pytest.mark.slow
def test_refining_with_points_and_weights_in_half_the_space(tmp_path):
    model = small_model("refine", decoder_layers=2, num_levels=2)
    detector = exported(model, tmp_path / "refine.onnx", with_points=True, precision="float16")
    assert "GridSample" in kinds_of(tmp_path / "refine.onnx")
    rounded = small_model("refine", decoder_layers=2, num_levels=2).half().float()
    images = images_of(*SIZES[0])
    outputs = detector(images)
    assert_same(outputs, rounded, images)
    with evaluation_mode(rounded), record(rounded) as recording:
        wanted = rounded(images)
    for one in recording[-1].records:
        for name in ("sampling_locations", "attention_weights", "reference_points"):
            found = outputs[f"{one.part}.{one.layer}.{name}"]
            torch.testing.assert_close(found, getattr(one, name), rtol=0, atol=1e-4)
    torch.testing.assert_close(outputs["decoder.0.boxes"], wanted["aux_outputs"][0]["pred_boxes"], rtol=0, atol=1e-5)
    assert len(outputs) == 2 + 3 * 3 + 2 and torch.equal(outputs["decoder.1.boxes"], outputs["pred_boxes"])
    numbers = sum(one.numel() for one in rounded.state_dict().values() if one.is_floating_point())
    assert 1.9 * numbers < weight_bytes(tmp_path / "refine.onnx") < 2.1 * numbers


def kinds_of(path) -> set[str]:
    import onnx

    return {node.op_type for node in onnx.load(path).graph.node}


def weight_bytes(path) -> int:
    import onnx

    return sum(onnx.numpy_helper.to_array(one).nbytes for one in onnx.load(path).graph.initializer)


# ------------------------------------------------------------------------------------- nothing that is wrong is written


def tiny_graph():
    """A graph that takes images and gives logits and boxes, all wrong."""
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info(name, kind, None) for name in ("pred_logits", "pred_boxes")]
    images = helper.make_tensor_value_info("images", kind, ["batch", 3, "height", "width"])
    shapes = {"pred_logits": (7, 5), "pred_boxes": (7, 4)}
    constants = [onnx.numpy_helper.from_array(np.zeros((3, *shape), "float32"), name) for name, shape in shapes.items()]
    nodes = [helper.make_node("Constant", [], [one.name], value=one) for one in constants]
    graph = helper.make_graph(nodes, "wrong", [images], outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_graph_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "_traced", lambda graph, sampling: tiny_graph())
    (tmp_path / "there.onnx").write_bytes(b"before")
    with pytest.raises(ValueError, match="not written, because ONNX Runtime computes something else than the model"):
        export_onnx(small_model("single"), tmp_path / "there.onnx")
    assert (tmp_path / "there.onnx").read_bytes() == b"before" and os.listdir(tmp_path) == ["there.onnx"]


def test_a_model_that_cannot_be_expressed_is_told_in_one_line(tmp_path, monkeypatch):
    def stopping(*args, **kwargs):
        raise RuntimeError("\nno operator for aten.frobnicate\nand a page more")

    monkeypatch.setattr(torch.onnx, "export", stopping)
    with pytest.raises(ValueError, match=r"^this model cannot be expressed in ONNX: no operator for aten\.frobnicate$"):
        export_onnx(small_model("single"), tmp_path / "new.onnx")
    assert os.listdir(tmp_path) == []


def test_what_is_wrong_is_said_before_anything_is_traced(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "_traced", None)
    model = small_model("single")
    with pytest.raises(ValueError, match="precision is 'int4'; choose from float32, float16"):
        export_onnx(model, tmp_path / "new.onnx", precision="int4")
    with pytest.raises(ValueError, match="sampling is 'nearest'; choose from grid_sample, gather"):
        export_onnx(model, tmp_path / "new.onnx", sampling="nearest")
    with pytest.raises(ValueError, match="a DetrBaseline has dense attention, which reads no points"):
        export_onnx(DetrBaseline(small_config("single")), tmp_path / "new.onnx", with_points=True)
    with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
        export_onnx(model, tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OSError, match=r"new\.onnx cannot be written: "):
        export_onnx(model, tmp_path / "file" / "new.onnx")
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_told_as_everywhere(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(onnx_file, "_traced", full)
    with pytest.raises(OSError, match="there is no room for .*new.onnx"):
        export_onnx(small_model("single"), tmp_path / "new.onnx")
    assert os.listdir(tmp_path) == []


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"onnxscript cannot be imported .* pip install 'defdetr-ref\[export\]'"):
        export_onnx(small_model("single"), tmp_path / "new.onnx")


# ------------------------------------------------------------------------------------------------------- comparing


def test_queries_are_paired_by_what_they_predict():
    model = small_model("two")
    order = torch.randperm(model.config.num_queries, generator=torch.Generator().manual_seed(0))

    def run(images):
        with evaluation_mode(model):
            return {name: tensor[:, order] for name, tensor in model(images).items() if name.startswith("pred")}

    assert comparison.largest_differences(model, run) == {"pred_logits": 0.0, "pred_boxes": 0.0}

    def wrong(images):
        outputs = run(images)
        outputs["pred_boxes"][-1, 0, 2] += 0.25
        return outputs

    found = comparison.largest_differences(model, wrong)
    assert found["pred_logits"] == 0.0 and found["pred_boxes"] == pytest.approx(0.25, rel=1e-3)
    assert comparison.largest_differences(model, lambda images: {k: v / 0 for k, v in run(images).items()}) == {
        "pred_logits": float("inf"),
        "pred_boxes": float("inf"),
    }


@pytest.mark.parametrize("queries", [7, 300])
def test_examples_give_more_tokens_than_queries(queries):
    model = small_model("two", num_queries=queries)
    height, width = comparison.example_size(model.config)
    assert height != width
    with evaluation_mode(model):
        assert model(comparison.random_images(2, (height, width)))["enc_outputs"]["pred_boxes"].shape[1] > queries
