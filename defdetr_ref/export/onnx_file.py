"""From a model to an ONNX file that was run and compared before it was written."""

import copy
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from defdetr_ref.attention import DeformableSampling
from defdetr_ref.export.comparison import (
    BOXES_TOLERANCE,
    LOGITS_TOLERANCE,
    example_size,
    largest_differences,
    random_images,
)
from defdetr_ref.export.graph import Graph, GraphWithPoints
from defdetr_ref.export.onnx_detector import FORMAT, need, open_session, run_session
from defdetr_ref.export.sampling import SAMPLINGS, sampling_by
from defdetr_ref.inference import evaluation_mode
from defdetr_ref.weight_files.writing import NO_ROOM, encode_notes, replacing, rounded, size_in_memory

PRECISIONS = ("float32", "float16")
SMALLEST_HALVED = 16  # numbers; to store fewer in half the space saves nothing
DYNAMIC = {"images": {0: "batch", 2: "height", 3: "width"}}


def export_onnx(
    model: nn.Module,
    path: str | os.PathLike,
    *,
    with_points: bool = False,
    precision: str = "float32",
    sampling: str = "grid_sample",
    **notes: Any,
) -> dict[str, float]:
    """Write `model` to `path` as ONNX, whole or not at all: from "images" (batch, 3, height, width), normalised and
    without padding, to "pred_logits" and "pred_boxes". Batch, height and width are free.

    Before it is written the graph is opened in ONNX Runtime and compared with the model, on batches of other sizes.

    model: of this package; it is left as it was.
    path: of the new file; one that is there is replaced.
    with_points: more outputs, see `GraphWithPoints`: sampling locations, attention weights, reference points and boxes
        of every layer.
    precision: "float32", or "float16": weights take half the space, and are computed with in float32.
    sampling: what reads the points: "grid_sample", or "gather" for a runtime whose GridSample is missing or wrong.
    notes: stored in the file as JSON, "categories" (label → name) and "resize" for `defdetr detect`.

    Returns the largest absolute differences from the model, "pred_logits" and "pred_boxes"; with float16, from the
    model with rounded weights. Raises ImportError if a package of the extra `export` is missing, OSError if the file
    cannot be written, and ValueError for a model that ONNX cannot express or a graph that computes something else.
    """
    for option, value, known in (("precision", precision, PRECISIONS), ("sampling", sampling, tuple(SAMPLINGS))):
        if value not in known:
            raise ValueError(f"{option} is {value!r}; choose from {', '.join(known)}")
    if with_points and not any(isinstance(module, DeformableSampling) for module in model.modules()):
        raise ValueError(f"with_points: a {type(model).__name__} has dense attention, which reads no points")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        need(package)
    path, metadata = Path(path), _metadata_of(model, notes)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file, such as {path / 'detector.onnx'}")
    model = copy.deepcopy(model).cpu().float().eval()
    if precision == "float16":
        model.load_state_dict(rounded(model.state_dict(), torch.float16))
    try:
        with replacing(path, size_in_memory(model.state_dict())) as file:  # opened first: tracing takes long
            content, differences = _compared(model, path, with_points, precision, sampling, metadata)
            file.write(content)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from None
    return differences


def _compared(
    model: nn.Module, path: Path, with_points: bool, precision: str, sampling: str, metadata: dict[str, str]
) -> tuple[bytes, dict[str, float]]:
    """What the file will hold, and how far ONNX Runtime is from the model with it. Raises ValueError if too far."""
    proto = _traced((GraphWithPoints if with_points else Graph)(model), sampling)
    if precision == "float16":
        _store_in_float16(proto)
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    content = proto.SerializeToString()
    session = open_session(content, str(path))
    differences = largest_differences(model, lambda images: run_session(session, images, str(path)))
    if differences["pred_logits"] > LOGITS_TOLERANCE or differences["pred_boxes"] > BOXES_TOLERANCE:
        raise ValueError(
            f"{path} was not written, because ONNX Runtime computes something else than the model: logits differ by "
            f"{differences['pred_logits']:.1e}, boxes by {differences['pred_boxes']:.1e}"
        )
    return content, differences


def _metadata_of(model: nn.Module, notes: dict[str, Any]) -> dict[str, str]:
    config = {"config": json.dumps(asdict(model.config)), "model_class": type(model).__name__}
    return {"format": FORMAT, **config, "notes": encode_notes(notes)}


def _traced(graph: Graph, sampling: str) -> Any:
    """The graph as ONNX's ModelProto. Raises ValueError if PyTorch cannot express it."""
    images = random_images(2, example_size(graph.model.config))
    with evaluation_mode(graph), sampling_by(sampling, graph.model), _quiet():
        names = list(graph(images))
        try:
            # Its optimiser makes invalid files of the one-stage presets, and ONNX Runtime has one of its own.
            program = torch.onnx.export(
                graph,
                (images,),
                dynamo=True,
                optimize=False,
                verbose=False,
                input_names=["images"],
                output_names=names,
                dynamic_shapes=DYNAMIC,
            )
        except Exception as error:  # of several stages, with a page of text
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ValueError(f"this model cannot be expressed in ONNX: {reason}") from error
    proto = program.model_proto
    _forget_origins(proto.graph)
    return proto


def _forget_origins(graph: Any) -> None:
    """Take out what the exporter notes of every node: the lines of Python, in files of this machine, that it came
    from. It is as much as the weights of a small detector."""
    for each in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del each.metadata_props[:]
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            _forget_origins(inner)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of packages that it does not find, and of what PyTorch itself is about to change."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)


def _store_in_float16(proto: Any) -> None:
    """Every constant that float16 holds without loss, as it does rounded weights, is stored so, and cast to float32
    before it is used, which a runtime does once, when it opens the file."""
    onnx = need("onnx")
    casts = []
    for weight in proto.graph.initializer:
        name, array = weight.name, onnx.numpy_helper.to_array(weight)
        if weight.data_type != onnx.TensorProto.FLOAT or array.size < SMALLEST_HALVED:
            continue
        half = array.astype("float16")
        if (half == array).all():
            weight.CopyFrom(onnx.numpy_helper.from_array(half, name + ".float16"))
            cast = onnx.helper.make_node("Cast", [weight.name], [name], name=name + ".cast", to=onnx.TensorProto.FLOAT)
            casts.append(cast)
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*casts, *nodes])
