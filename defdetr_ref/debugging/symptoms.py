"""What is noted of a run: loss and gradients as it trains, where attention reads, and how good its boxes are."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from defdetr_ref.boxes import cxcywh_to_xyxy
from defdetr_ref.data.coco import collate
from defdetr_ref.evaluation import coco_metrics, evaluate, predict
from defdetr_ref.explain.recording import AttentionRecord, record, token_at, weight_outside
from defdetr_ref.inference import evaluation_mode, postprocess
from defdetr_ref.matching import hungarian_match

STEPS_TOGETHER = 10  # a row holds their means
DECIMALS = 4
BEST_SHOWN = 6  # boxes of the picture
PARTS = ("encoder", "decoder")


def group_of(name: str) -> str:
    """The part of the model that a parameter belongs to, as the symptoms name it."""
    if "sampling_offsets" in name:
        return f"{name.split('.')[0]} offsets"
    if "heads" in name:
        kind, number = name.split(".")[1:3]
        return f"{kind.removesuffix('_heads')} head {int(number) + 1}"
    return name.split(".")[0]


class WatchedLoss(nn.Module):
    """A loss that notes each step's terms, and the length of the gradient by part of the model, before clipping.

    loss: called as `DetectionLoss` is. model: its gradients are noted.
    """

    def __init__(self, loss: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.loss, self.steps = loss, []
        self.groups = {group_of(name) for name, one in model.named_parameters() if one.requires_grad}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(partial(self._add, group_of(name)))

    def _add(self, group: str, parameter: Tensor) -> None:
        self.steps[-1]["squares"][group] += parameter.grad.square().sum().item()

    def forward(self, outputs: dict, targets: list[dict]) -> dict[str, Tensor]:
        terms = self.loss(outputs, targets)
        self.steps.append({
            "loss": {name: term.item() for name, term in terms.items()},
            "squares": dict.fromkeys(sorted(self.groups), 0.0),
        })  # fmt: skip
        return terms

    def rows(self) -> dict[str, Any]:
        """Of the first step alone, and then means over STEPS_TOGETHER steps: {"step": […], "loss": {name: […]}, …}."""
        noted = [
            {"loss": one["loss"], "gradients": {group: square**0.5 for group, square in one["squares"].items()}}
            for one in self.steps
        ]
        ends = range(STEPS_TOGETHER, len(noted) + 1, STEPS_TOGETHER)
        blocks = [noted[:1], *(noted[end - STEPS_TOGETHER : end] for end in ends)]
        content: dict[str, Any] = {"step": [1, *ends]}
        for part in ("loss", "gradients"):
            content[part] = {
                name: rounded([sum(one[part][name] for one in block) / len(block) for block in blocks])
                for name in noted[0][part]
            }
        return content


class Attention:
    """Where attention reads in always the same padded batch; called with the model after each epoch."""

    def __init__(self, dataset: Dataset, images: int) -> None:
        self.images, self.mask, _ = collate([dataset[index] for index in range(images)])

    def __call__(self, model: nn.Module) -> dict[str, Any]:
        """Shares of all attention weight: outside the image by part, and of the decoder's on each level."""
        with evaluation_mode(model), record(model) as recording:
            model(self.images, self.mask)
        seen = recording[-1]
        outside = {}
        for part in PARTS:
            shares = [weight_outside(one).sum().item() for one in getattr(seen, part)]
            outside[part] = rounded(sum(shares) / len(shares))
        levels = torch.stack([one.attention_weights.mean((0, 1, 2)).sum(-1) for one in seen.decoder]).mean(0)
        return {"outside": outside, "levels": rounded(levels)}


class UpToLayer(nn.Module):
    """A detector whose answer is that of one decoder layer, counted from 0."""

    def __init__(self, model: nn.Module, layer: int) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, images: Tensor, mask: Tensor) -> dict[str, Any]:
        outputs = self.model(images, mask)
        return [*outputs["aux_outputs"], outputs][self.layer]


def judge(model: nn.Module, dataset: Dataset, loss: nn.Module, batch_size: int) -> dict[str, Any]:
    """What is asked of a trained model.

    model: trained. dataset: of validation. loss: that it was trained with. batch_size: of its training.

    "alone": AP with one image in a batch. "ignoring classes": AP if any class is right. "layers": AP of each decoder
    layer's boxes. "loss together", "loss alone": the loss of as many images in one batch, and one by one.
    """
    layers = range(len(model.decoder.layers))
    options = {"batch_size": batch_size, "progress": False}
    return rounded({
        "alone": evaluate(model, dataset, batch_size=1, progress=False)["AP"],
        "ignoring classes": coco_metrics(
            _one_class(dataset.coco), [{**one, "category_id": 1} for one in predict(model, dataset, **options)],
            dataset.image_ids,
        )["AP"],
        "layers": [evaluate(UpToLayer(model, layer), dataset, **options)["AP"] for layer in layers],
        **_losses(model, dataset, loss, batch_size),
    })  # fmt: skip


def _one_class(coco: Mapping[str, Any]) -> dict[str, Any]:
    """The same annotations, all of category 1."""
    rows = [{**row, "category_id": 1} for row in coco["annotations"]]
    return {**coco, "annotations": rows, "categories": [{"id": 1, "name": "any"}]}


def _losses(model: nn.Module, dataset: Dataset, loss: nn.Module, images: int) -> dict[str, float]:
    samples = [dataset[index] for index in range(images)]

    def of(chosen: Sequence[tuple]) -> float:
        pixels, mask, targets = collate(chosen)
        objects = sum(len(target["labels"]) for target in targets)
        return objects * loss(model(pixels, mask), targets)["total"].item()

    with evaluation_mode(model):
        objects = sum(len(target["labels"]) for _, target in samples)
        return {
            "loss together": of(samples) / objects,
            "loss alone": sum(of([sample]) for sample in samples) / objects,
        }


def picture(model: nn.Module, dataset: Dataset, images: int, index: int) -> dict[str, Any]:
    """What a figure of one image needs: its best boxes, and where a query of the decoder and a pixel look.

    model: trained. dataset: holds the image. images: so many are padded together. index: of the image.

    The query is the one matched to the image's largest object, in the last layer, and "box" is what it predicts; the
    pixel is on the finest level, in the middle of the object. Places are in [0, 1] of the padded batch, boxes xyxy in
    pixels.
    """
    pixels, mask, targets = collate([dataset[number] for number in range(images)])
    with evaluation_mode(model), record(model) as recording:
        outputs = model(pixels, mask)
    ((queries, objects),) = hungarian_match(
        outputs["pred_logits"][index, None], outputs["pred_boxes"][index, None], [targets[index]]
    )
    largest = targets[index]["boxes"][:, 2:].prod(-1).argmax()
    query = int(queries[objects == largest])
    height, width = targets[index]["size"]
    share = torch.tensor([width, height]) / torch.tensor([pixels.shape[3], pixels.shape[2]])
    x, y = (targets[index]["boxes"][largest, :2] * share).tolist()
    encoder, decoder = recording[-1].encoder[-1], recording[-1].decoder[-1]
    box = cxcywh_to_xyxy(outputs["pred_boxes"][index, query]) * torch.tensor([width, height, width, height])
    best = postprocess(outputs, [target["size"] for target in targets], top_k=BEST_SHOWN)[index]
    return {
        "image": index,
        "object": int(largest),
        "query": {**_looks(decoder, index, query), "box": rounded(box)},
        "pixel": _looks(encoder, index, token_at(encoder, x, y)),
        "best": rounded({name: best[name] for name in ("scores", "labels", "boxes")}),
    }


def _looks(seen: AttentionRecord, image: int, query: int) -> dict[str, Any]:
    """Of one query: its reference, and points and weights (head, level, point)."""
    return rounded({
        "reference": seen.reference_points[image, query, 0],
        "locations": seen.sampling_locations[image, query],
        "weights": seen.attention_weights[image, query],
    })  # fmt: skip


def rounded(content: Any) -> Any:
    """The same with tensors as lists, and numbers with as many digits as mean something."""
    if isinstance(content, Tensor):
        return rounded(content.tolist())
    if isinstance(content, Mapping):
        return {name: rounded(value) for name, value in content.items()}
    if isinstance(content, list):
        return [rounded(value) for value in content]
    return float(f"{content:.{DECIMALS}g}") if isinstance(content, float) else content
