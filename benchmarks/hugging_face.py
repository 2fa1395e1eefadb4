"""Models of transformers, of their usual sizes and with random weights, with their operator and with this package's.

`python -m benchmarks.hugging_face` measures this table alone, and puts it into the machine's results.
"""

import argparse
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import interleaved, summary
from benchmarks.report import hugging_face_lines, write_json
from defdetr_ref.hugging_face import use_ms_deform_attn
from defdetr_ref.provenance import machine, versions

IMAGE = (256, 320)
BASELINE, OURS = "transformers", "ms_deform_attn"
SWIN_STAGES = ["stage1", "stage2", "stage3", "stage4"]
Made = tuple[nn.Module, dict[str, Tensor]]  # a model, and what it is called with beside the images


def deformable_detr(transformers: Any) -> Made:
    backbone = transformers.ResNetConfig(out_features=["stage2", "stage3", "stage4"])
    config = transformers.DeformableDetrConfig(
        backbone_config=backbone, use_timm_backbone=False, use_pretrained_backbone=False
    )
    return transformers.DeformableDetrForObjectDetection(config), {}


def grounding_dino(transformers: Any) -> Made:
    text = transformers.BertConfig(num_hidden_layers=2)  # its 12 layers have nothing to do with the operator
    backbone = transformers.SwinConfig(out_features=SWIN_STAGES[1:])
    config = transformers.GroundingDinoConfig(backbone_config=backbone, text_config=text)
    return transformers.GroundingDinoForObjectDetection(config), {"input_ids": torch.tensor([[101, 4937, 1012, 102]])}


def mask2former(transformers: Any) -> Made:
    config = transformers.Mask2FormerConfig(backbone_config=transformers.SwinConfig(out_features=SWIN_STAGES))
    return transformers.Mask2FormerForUniversalSegmentation(config), {}


def oneformer(transformers: Any) -> Made:
    config = transformers.OneFormerConfig(
        backbone_config=transformers.SwinConfig(out_features=SWIN_STAGES), is_training=False
    )
    inputs = {"task_inputs": torch.ones(1, config.task_seq_len, dtype=torch.long)}
    return transformers.OneFormerForUniversalSegmentation(config), inputs


def rt_detr(transformers: Any) -> Made:
    return transformers.RTDetrForObjectDetection(transformers.RTDetrConfig(num_denoising=0)), {}


def rt_detr_v2(transformers: Any) -> Made:
    return transformers.RTDetrV2ForObjectDetection(transformers.RTDetrV2Config(num_denoising=0)), {}


def d_fine(transformers: Any) -> Made:
    return transformers.DFineForObjectDetection(transformers.DFineConfig(num_denoising=0)), {}


MODELS: dict[str, Callable[[Any], Made]] = {
    "Deformable DETR": deformable_detr,
    "Grounding DINO": grounding_dino,
    "Mask2Former": mask2former,
    "OneFormer": oneformer,
    "RT-DETR": rt_detr,
    "RT-DETR v2": rt_detr_v2,
    "D-FINE": d_fine,
}


def bench_hugging_face(device: str, rounds: int, seed: int) -> dict[str, Any]:
    """Forward pass and training step (forward, backward of the outputs' mean squares) of each, one image."""
    import transformers

    found: dict[str, Any] = {
        "image": list(IMAGE),
        "batch": 1,
        "date": date.today().isoformat(),
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "versions": versions() | {"transformers": transformers.__version__},
        "models": {},
    }
    for name, make in MODELS.items():
        torch.manual_seed(seed)
        model, inputs = make(transformers)
        inputs = {key: value.to(device) for key, value in {"pixel_values": torch.randn(1, 3, *IMAGE), **inputs}.items()}
        found["models"][name] = _times(model.to(device), inputs, rounds, device)
    return found


def _times(model: nn.Module, inputs: dict[str, Tensor], rounds: int, device: str) -> dict[str, Any]:
    """What `summary` tells of both operators, for each of the two steps."""

    def forward() -> None:
        with torch.no_grad():
            model.eval()(**inputs)

    def training_step() -> None:
        model.train().zero_grad()
        outputs = model(**inputs)
        tensors = [one for one in outputs.values() if isinstance(one, Tensor) and one.requires_grad]
        torch.stack([one[one.isfinite()].square().mean() for one in tensors]).sum().backward()

    times = {}
    for name, step in (("forward", forward), ("training step", training_step)):
        cases = {BASELINE: step, OURS: lambda step=step: _swapped(model, step)}
        times[name] = summary(interleaved(cases, rounds, device), BASELINE)
    return times


def _swapped(model: nn.Module, step: Callable[[], None]) -> None:
    with use_ms_deform_attn(model):
        step()


def main() -> None:
    from benchmarks.__main__ import RESULTS, device_name

    parser = argparse.ArgumentParser(prog="python -m benchmarks.hugging_face", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    path = RESULTS / f"{device_name('cpu')}.json"
    results = {"machine": machine() | {"name": path.stem}, "versions": versions()}
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        others = stored.keys() - {"machine", "versions", "hugging_face"}
        results |= stored if others else {}  # their machine and versions stay theirs; the table has its own
    results["hugging_face"] = bench_hugging_face("cpu", options.rounds, options.seed)
    print("\n".join(hugging_face_lines(results["hugging_face"])))
    write_json(results, path)
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
