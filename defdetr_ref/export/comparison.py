"""Whether a graph computes the same as the model: images through both, of sizes that it was not traced with."""

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from defdetr_ref.config import COARSER_LEVEL_STRIDE, DeformableDETRConfig
from defdetr_ref.inference import evaluation_mode

LOGITS_TOLERANCE, BOXES_TOLERANCE = 1e-3, 1e-4  # float32 of two runtimes, through a dozen layers
TRIALS = 5  # random batches, of which the one is taken whose proposals are chosen most clearly

Outputs = dict[str, Tensor]


def example_size(config: DeformableDETRConfig) -> tuple[int, int]:
    """(height, width), different, of small images that give more tokens than there are queries."""
    strides = list(config.feature_strides)
    while len(strides) < config.num_levels:
        strides.append(strides[-1] * COARSER_LEVEL_STRIDE)
    height, width = 2 * config.largest_stride, 3 * config.largest_stride
    while sum(-(-height // stride) * -(-width // stride) for stride in strides) <= config.num_queries:
        height, width = height + config.largest_stride, width + config.largest_stride
    return height, width


def random_images(batch: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """(batch, 3, height, width) normal numbers, as normalised images are."""
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


def largest_differences(model: nn.Module, run: Callable[[Tensor], Outputs]) -> dict[str, float]:
    """The largest absolute difference in "pred_logits" and in "pred_boxes", of two batches of different sizes."""
    height, width = example_size(model.config)
    stride = model.config.largest_stride
    found = {"pred_logits": 0.0, "pred_boxes": 0.0}
    for batch, size in ((3, (height + stride // 2 + 1, width)), (1, (width, height + stride - 1))):
        images, wanted = _clearest_case(model, batch, size)
        outputs = run(images)
        for image in range(batch):
            one, other = ({name: tensors[name][image] for name in found} for tensors in (outputs, wanted))
            for name, difference in _differences(one, other).items():
                found[name] = max(found[name], difference)
    return found


def _clearest_case(model: nn.Module, batch: int, size: tuple[int, int]) -> tuple[Tensor, Outputs]:
    """Random images, and what the model returns. The two-stage variant chooses proposals by their scores, and where two
    scores are equal but for rounding, two runtimes may choose differently: the case with the widest gap is taken.
    """
    cases = []
    for seed in range(TRIALS if model.config.two_stage else 1):
        images = random_images(batch, size, seed)
        with evaluation_mode(model):
            outputs = model(images)
        cases.append((_gap(outputs, model.config.num_queries), seed, images, outputs))
    _, _, images, outputs = max(cases, key=lambda case: case[:2])
    return images, outputs


def _gap(outputs: dict, num_queries: int) -> float:
    """Between the worst proposal that was chosen and the best that was not, the smallest of the batch."""
    if "enc_outputs" not in outputs:
        return 0.0
    scores = outputs["enc_outputs"]["pred_logits"][..., 0]  # (N, S)
    best = scores.topk(num_queries + 1, dim=1).values
    return (best[:, -2] - best[:, -1]).min().item()


def _differences(found: Outputs, wanted: Outputs) -> dict[str, float]:
    """Of one image. Queries are paired by what they predict, because proposals may come in another order."""
    flat = [torch.cat([one["pred_logits"], one["pred_boxes"]], dim=-1).double() for one in (found, wanted)]
    if not flat[0].isfinite().all():
        return dict.fromkeys(wanted, float("inf"))
    rows, columns = linear_sum_assignment(torch.cdist(*flat).numpy())
    return {name: (found[name][rows] - wanted[name][columns]).abs().max().item() for name in wanted}
