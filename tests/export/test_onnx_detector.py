"""Files that are no detectors are refused in one sentence."""

import pytest

from defdetr_ref.export import OnnxDetector
from tests.export.test_onnx_file import tiny_graph


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no ONNX file .*none\.onnx"):
        OnnxDetector(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"no graph", bytes(range(256))])
def test_a_file_that_is_no_graph(tmp_path, content):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.onnx is not a graph that ONNX Runtime can open|was not written by"):
        OnnxDetector(tmp_path / "bad.onnx")


def test_a_graph_of_others(tmp_path):
    (tmp_path / "theirs.onnx").write_bytes(tiny_graph().SerializeToString())
    with pytest.raises(ValueError, match=r"theirs\.onnx was not written by defdetr export"):
        OnnxDetector(tmp_path / "theirs.onnx")


def test_metadata_that_are_damaged(tmp_path):
    proto = tiny_graph()
    for key, value in {"format": "defdetr-ref onnx 1", "config": '{"d_model": ', "notes": "{}"}.items():
        proto.metadata_props.add(key=key, value=value)
    (tmp_path / "damaged.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ValueError, match=r"damaged\.onnx holds metadata that are damaged"):
        OnnxDetector(tmp_path / "damaged.onnx")
