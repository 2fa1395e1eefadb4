"""Notebook 17: the detector's parts, each equal to the package's with the same weights."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from defdetr_ref.attention import MultiScaleDeformableAttention
from defdetr_ref.boxes import cxcywh_to_xyxy, generalized_box_iou, refine_boxes
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.course.exercises.checking import expect_same
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.decoder import DecoderLayer, Queries
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.encoder import EncoderLayer
from defdetr_ref.losses import focal_loss, layer_losses
from defdetr_ref.matching import Assignment, hungarian_match, matching_cost
from defdetr_ref.positions import SpatialShapes, encoder_reference_points
from defdetr_ref.pyramid import PyramidTokens

WIDTH = 32  # of the small models here, the least that the group norm takes
SIZES = (  # images, queries, heads, levels (height, width), points
    (1, 2, 1, [(1, 2)], 1),
    (2, 3, 4, [(3, 5), (2, 3)], 2),
    (3, 5, 2, [(2, 4), (3, 1), (1, 2)], 4),
)


def attend(
    self: nn.Module,
    query: Float[Tensor, "batch query d_model"],
    reference_points: Float[Tensor, "batch query level point_or_box"],
    features: Float[Tensor, "batch token d_model"],
    spatial_shapes: SpatialShapes,
    padding_mask: Bool[Tensor, "batch token"] | None = None,
) -> Float[Tensor, "batch query d_model"]:
    """Eq. 3 with the four linear layers of `self`; `self.sampling` is the operator."""
    value = self.value_proj(features)
    if padding_mask is not None:
        value = value.masked_fill(padding_mask[..., None], 0.0)
    value = value.unflatten(-1, (self.num_heads, -1))  # (N, S, M, D)
    samples = self.num_levels, self.num_points
    offsets = self.sampling_offsets(query).unflatten(-1, (self.num_heads, *samples, 2))  # (N, Q, M, L, K, 2)
    weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1).unflatten(-1, samples)
    reference = reference_points[:, :, None, :, None]  # (N, Q, 1, L, 1, 2 or 4)
    if reference.shape[-1] == 2:
        sizes = query.new_tensor([[width, height] for height, width in spatial_shapes])
        steps = offsets / sizes[:, None]
    else:
        steps = offsets / self.num_points * (reference[..., 2:] / 2)
    output = self.sampling(value, spatial_shapes, reference[..., :2] + steps, weights)
    return self.output_proj(output)


def examine_attention(answer: Callable, right: Callable) -> None:
    for images, queries, heads, shapes, points in SIZES:
        module = awake(MultiScaleDeformableAttention(WIDTH, heads, len(shapes), points))
        tokens = some_tokens(images, shapes)
        query = torch.randn(images, queries, WIDTH)
        for numbers, what in ((2, "points"), (4, "boxes")):
            given = module, query, torch.rand(images, queries, len(shapes), numbers), tokens.features, shapes
            sentence = f"the attention of {queries} queries in {images} images to {shapes}, from {what}"
            expect_same(answer, right, given, sentence, gradient=["query", "reference_points", "features"])
            expect_same(answer, right, (*given, tokens.mask), f"{sentence}, with padding")


def examine_encoder_layer(answer: Callable, right: Callable) -> None:
    for images, _, heads, shapes, points in SIZES:
        layer = awake(EncoderLayer(**layer_sizes(heads, shapes, points)), dropout=0.5)
        tokens = some_tokens(images, shapes)
        references = encoder_reference_points(shapes, tokens.valid_ratios)
        what = f"the tokens of {images} images on {shapes} after the layer"
        given = layer, torch.randn_like(tokens.features), tokens, references
        expect_same(answer, right, given, what, gradient=["x", "reference_points"])


def examine_decoder_layer(answer: Callable, right: Callable) -> None:
    for images, queries, heads, shapes, points in SIZES:
        layer = awake(DecoderLayer(**layer_sizes(heads, shapes, points)), dropout_self=0.5, dropout_cross=0.25)
        tokens = some_tokens(images, shapes)
        content, position = torch.randn(2, images, queries, WIDTH)
        memory = torch.randn_like(tokens.features)
        for numbers, kind in ((2, "points"), (4, "boxes")):
            what = f"{queries} queries of {images} images after the layer, when references are {kind}"
            given = layer, content, position, torch.rand(images, queries, numbers), memory, tokens
            expect_same(answer, right, given, what, gradient=["content", "position", "reference", "memory"])


def decode(
    self: nn.Module,
    content: Float[Tensor, "batch query d_model"],
    position: Float[Tensor, "batch query d_model"],
    reference: Float[Tensor, "batch query point_or_box"],
    memory: Float[Tensor, "batch token d_model"],
    tokens: PyramidTokens,
    refine: Callable = refine_boxes,
) -> list[tuple[Tensor, Tensor]]:
    """Logits and boxes after each layer of `self`; the next layer starts from the box, without its gradient."""
    predictions = []
    for layer, class_head, box_head in zip(self.layers, self.class_heads, self.box_heads, strict=True):
        content = layer(content, position, reference, memory, tokens)
        boxes = refine(reference, box_head(content))
        predictions.append((class_head(content), boxes))
        reference = boxes.detach()
    return predictions


def decoded_by_the_package(self, content, position, reference, memory, tokens, refine) -> list[tuple[Tensor, Tensor]]:
    """What `RefiningDecoder` gives, as plain pairs."""
    predictions = self(Queries(content, position, reference), memory, tokens)
    return [(prediction.logits, prediction.boxes) for prediction in predictions]


def examine_decoder(answer: Callable, right: Callable) -> None:
    for (images, queries, heads, shapes, points), layers in zip(SIZES, (1, 2, 3), strict=True):
        config = DeformableDETRConfig.preset("compact", num_classes=5, d_model=WIDTH, num_heads=heads, d_ffn=48,
                                             num_points=points, num_levels=len(shapes), encoder_layers=1,
                                             feature_strides=(8,), decoder_layers=layers)  # fmt: skip
        decoder, tokens = awake(DeformableDETR(config).decoder), some_tokens(images, shapes)
        content, position = torch.randn(2, images, queries, WIDTH)
        memory = torch.randn_like(tokens.features)
        for numbers, kind in ((4, "boxes"), (2, "points")):
            what = f"logits and boxes after each of {layers} layers, when the first references are {kind}"
            given = decoder, content, position, torch.rand(images, queries, numbers), memory, tokens, refine_boxes
            expect_same(answer, right, given, what, gradient=["content", "reference", "memory"])


@torch.no_grad()
def match(
    logits: Float[Tensor, "batch query classes"],
    boxes: Float[Tensor, "batch query 4"],
    targets: list[dict],
    cost: Callable = matching_cost,
) -> list[Assignment]:
    """For each image the queries, and the objects that they are matched to."""
    assignments = []
    for image_logits, image_boxes, target in zip(logits, boxes, targets, strict=True):
        costs = cost(image_logits, image_boxes, target["labels"], target["boxes"])
        query, index = linear_sum_assignment(costs.numpy())
        assignments.append((torch.as_tensor(query), torch.as_tensor(index)))
    return assignments


# Queries, classes, and objects of each image; in one there are more objects than queries.
CROWDS = ((2, 3, (1,)), (5, 4, (2, 3)), (6, 3, (3, 0, 4)), (3, 5, (4, 1)), (4, 2, (0, 0)))


def some_predictions(queries: int, classes: int, counts: tuple[int, ...]) -> tuple[Tensor, Tensor, list[dict]]:
    logits, boxes = torch.randn(len(counts), queries, classes), torch.rand(len(counts), queries, 4)
    return logits, boxes, [{"labels": torch.randint(classes, (n,)), "boxes": torch.rand(n, 4)} for n in counts]


def examine_matching(answer: Callable, right: Callable) -> None:
    for queries, classes, counts in CROWDS:
        logits, boxes, targets = some_predictions(queries, classes, counts)
        what = f"the matches of {queries} queries, when the images have {', '.join(map(str, counts))} objects"
        given = logits.requires_grad_(), boxes.requires_grad_(), targets, matching_cost  # as while training
        expect_same(answer, right, given, what)


def layer_loss(
    logits: Float[Tensor, "batch query classes"],
    boxes: Float[Tensor, "batch query 4"],
    targets: list[dict],
    assignments: list[Assignment],
    focal: Callable = focal_loss,
) -> tuple[Tensor, Tensor, Tensor]:
    """Focal loss of all logits, L1 and 1 - GIoU of the matched boxes; each a sum divided by the number of objects."""
    truth = torch.zeros_like(logits)
    for image, (query, index) in enumerate(assignments):
        truth[image, query, targets[image]["labels"][index]] = 1
    matched = torch.cat([boxes[image, query] for image, (query, _) in enumerate(assignments)])
    wanted = torch.cat([targets[image]["boxes"][index] for image, (_, index) in enumerate(assignments)])
    overlap = generalized_box_iou(cxcywh_to_xyxy(matched), cxcywh_to_xyxy(wanted)).diagonal()
    objects = max(sum(len(target["labels"]) for target in targets), 1)
    sums = focal(logits, truth).sum(), (matched - wanted).abs().sum(), (1 - overlap).sum()
    return tuple(each / objects for each in sums)


def loss_of_the_package(logits, boxes, targets, assignments, focal) -> tuple[Tensor, ...]:
    """The values of `layer_losses`, which matches for itself."""
    objects = float(max(sum(len(target["labels"]) for target in targets), 1))
    terms = layer_losses({"pred_logits": logits, "pred_boxes": boxes}, targets, objects)
    return tuple(term.value for term in terms)


def examine_layer_loss(answer: Callable, right: Callable) -> None:
    for queries, classes, counts in CROWDS:
        logits, boxes, targets = some_predictions(queries, classes, counts)
        given = logits, boxes, targets, hungarian_match(logits, boxes, targets), focal_loss
        what = f"the three terms, when {queries} queries face {' and '.join(map(str, counts))} objects"
        expect_same(answer, right, given, what, gradient=["logits", "boxes"])


def layer_sizes(heads: int, shapes: SpatialShapes, points: int) -> dict[str, Any]:
    return dict(d_model=WIDTH, num_heads=heads, num_levels=len(shapes), num_points=points, d_ffn=48, dropout=0.0)


def some_tokens(images: int, shapes: SpatialShapes) -> PyramidTokens:
    """Random features and places; all images but the first are narrower than the batch, and have padding."""
    count = sum(height * width for height, width in shapes)
    ratios = torch.ones(images, len(shapes), 2)
    masks = [torch.zeros(images, height, width, dtype=torch.bool) for height, width in shapes]
    for level, mask in enumerate(masks):
        width = mask.shape[2]
        mask[1:, :, (width + 1) // 2 :] = True
        ratios[1:, level, 0] = ((width + 1) // 2) / width
    features, positions = torch.randn(2, images, count, WIDTH)
    mask = torch.cat([mask.flatten(1) for mask in masks], dim=1)
    centres = torch.rand(images, count, 2)
    return PyramidTokens(features, positions, mask, shapes, ratios, centres)


class Scaled(nn.Module):
    """Stands where a dropout does, and shows whether it is used, and for what."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


@torch.no_grad()
def awake(module: nn.Module, **factors: float) -> nn.Module:
    """A copy whose weights are all random, so that nothing is zero or alike as it is before training.

    factors: what the dropouts of these names multiply by.
    """
    module = copy.deepcopy(module)
    for parameter in module.parameters():
        parameter += 0.3 * torch.randn_like(parameter)
    for name, factor in factors.items():
        setattr(module, name, Scaled(factor))
    return module


ATTENTION = Exercise(
    "17-attention",
    solution=attend,
    examine=examine_attention,
    hint="value, zero on padding; offsets, and weights by one softmax for each head; locations; sampling; output.",
    package=MultiScaleDeformableAttention.forward,
)
ENCODER_LAYER = Exercise(
    "17-encoder-layer",
    solution=EncoderLayer.forward,
    examine=examine_encoder_layer,
    hint="x + dropout(attention) goes through the first norm, and what comes out plus the ffn through the second.",
)
DECODER_LAYER = Exercise(
    "17-decoder-layer",
    solution=DecoderLayer.forward,
    examine=examine_decoder_layer,
    hint="Among the queries, then to the memory, then the ffn: after each a sum with what came in, and its own norm.",
)
DECODER = Exercise(
    "17-decoder",
    solution=decode,
    examine=examine_decoder,
    hint="content and reference are replaced in each round; the reference by the box, detached.",
    package=decoded_by_the_package,
)
MATCHING = Exercise(
    "17-matching",
    solution=match,
    examine=examine_matching,
    hint="For each image alone: cost(…) as a NumPy array, then linear_sum_assignment, which gives rows and columns.",
    package=lambda logits, boxes, targets, cost: hungarian_match(logits, boxes, targets),
)
LAYER_LOSS = Exercise(
    "17-layer-loss",
    solution=layer_loss,
    examine=examine_layer_loss,
    hint="All logits count, but only matched boxes; every sum is divided by the number of objects, at least 1.",
    package=loss_of_the_package,
)
