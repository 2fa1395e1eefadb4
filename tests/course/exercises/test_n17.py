"""Notebook 17: mistakes that the checks must refuse."""

import torch

from defdetr_ref.attention import MultiScaleDeformableAttention
from defdetr_ref.boxes import cxcywh_to_xyxy, generalized_box_iou
from defdetr_ref.course import exercises
from defdetr_ref.course.exercises.n17 import (
    CROWDS,
    SIZES,
    WIDTH,
    attend,
    awake,
    decode,
    layer_loss,
    match,
    some_predictions,
    some_tokens,
)
from defdetr_ref.decoder import DecoderLayer
from defdetr_ref.encoder import EncoderLayer
from defdetr_ref.losses import layer_losses
from defdetr_ref.matching import hungarian_match
from tests.course.exercises import three_ways


def swapped(one, other, forward):
    """What `forward` gives while two parts of the module have changed places."""

    def answer(self, *args):
        first, second = getattr(self, one), getattr(self, other)
        setattr(self, one, second), setattr(self, other, first)
        result = forward(self, *args)
        setattr(self, one, first), setattr(self, other, second)
        return result

    return answer


def attention_without_padding(self, query, references, features, shapes, mask=None):
    return attend(self, query, references, features, shapes)


def mask_the_wrong_way_round(self, query, references, features, shapes, mask=None):
    return attend(self, query, references, features, shapes, None if mask is None else ~mask)


def zeroed_in_place(self, query, references, features, shapes, mask=None):
    if mask is not None:
        features[mask] = 0.0
    return attend(self, query, references, features, shapes, mask)


def no_gradient_at_references(self, query, references, *rest):
    return attend(self, query, references.detach(), *rest)


def boxes_as_points(self, query, references, *rest):
    return attend(self, query, references[..., :2], *rest)


def own_level_first(self, query, references, *rest):
    return attend(self, query, references.flip(2), *rest)


def positions_kept(self, x, tokens, references):
    return EncoderLayer.forward(self, x + tokens.positions, tokens, references)


def ffn_first(self, x, tokens, references):
    x = self.ffn_norm(x + self.ffn(x))
    attended = self.attention(x + tokens.positions, references, x, tokens.spatial_shapes, tokens.mask)
    return self.attention_norm(x + self.dropout(attended))


def norms_left_out(self, x, tokens, references):
    attended = self.attention(x + tokens.positions, references, x, tokens.spatial_shapes, tokens.mask)
    x = x + self.dropout(attended)
    return x + self.ffn(x)


def added_in_place(self, x, tokens, references):
    attended = self.attention(x + tokens.positions, references, x, tokens.spatial_shapes, tokens.mask)
    x += self.dropout(attended)
    x = self.attention_norm(x)
    return self.ffn_norm(x + self.ffn(x))


def positions_added_in_place(self, x, tokens, references):
    tokens.positions.add_(x)
    attended = self.attention(tokens.positions, references, x, tokens.spatial_shapes, tokens.mask)
    x = self.attention_norm(x + self.dropout(attended))
    return self.ffn_norm(x + self.ffn(x))


def cross_attention_first(self, content, position, reference, memory, tokens):
    references = reference[:, :, None] * tokens.valid_ratios[:, None].repeat(1, 1, 1, reference.shape[-1] // 2)
    attended = self.cross_attention(content + position, references, memory, tokens.spatial_shapes, tokens.mask)
    content = self.cross_norm(content + self.dropout_cross(attended))
    query = content + position
    content = self.self_norm(content + self.dropout_self(self.self_attention(query, query, content)))
    return self.ffn_norm(content + self.ffn(content))


def ratios_of_the_other_axis(self, content, position, reference, memory, tokens):
    turned = type(tokens)(**{**vars(tokens), "valid_ratios": tokens.valid_ratios.flip(-1)})
    return DecoderLayer.forward(self, content, position, reference, memory, turned)


def reference_detached(self, content, position, reference, memory, tokens):
    return DecoderLayer.forward(self, content, position, reference.detach(), memory, tokens)


def no_self_attention(self, content, position, reference, memory, tokens):
    kept = self.self_attention.forward
    self.self_attention.forward = lambda query, key, value: torch.zeros_like(value)
    result = DecoderLayer.forward(self, content, position, reference, memory, tokens)
    self.self_attention.forward = kept
    return result


def heads_of_the_last_layer(self, content, position, reference, memory, tokens, refine):
    predictions = []
    for layer in self.layers:
        content = layer(content, position, reference, memory, tokens)
        boxes = refine(reference, self.box_heads[-1](content))
        predictions.append((self.class_heads[-1](content), boxes))
        reference = boxes.detach()
    return predictions


def content_detached(self, content, position, reference, memory, tokens, refine):
    predictions = []
    for layer, class_head, box_head in zip(self.layers, self.class_heads, self.box_heads, strict=True):
        content = layer(content, position, reference, memory, tokens)
        boxes = refine(reference, box_head(content))
        predictions.append((class_head(content), boxes))
        content, reference = content.detach(), boxes.detach()
    return predictions


def decoded(**changes):
    def answer(self, content, position, reference, memory, tokens, refine):
        given = dict(content=content, position=position, reference=reference, memory=memory, refine=refine)
        given |= {name: change(given) for name, change in changes.items()}
        return decode(self, tokens=tokens, **given)

    return answer


def greedy(logits, boxes, targets, cost):
    """Each object in turn takes the cheapest query that is left."""
    assignments = []
    for image_logits, image_boxes, target in zip(logits, boxes, targets, strict=True):
        costs, pairs = cost(image_logits, image_boxes, target["labels"], target["boxes"]).clone(), []
        for index in range(min(costs.shape)):
            pairs.append((int(costs[:, index].argmin()), index))
            costs[pairs[-1][0]] = torch.inf
        pairs = torch.tensor(sorted(pairs), dtype=torch.int64).view(-1, 2)
        assignments.append((pairs[:, 0], pairs[:, 1]))
    return assignments


def order_of_the_objects(logits, boxes, targets, cost):
    assignments = match(logits, boxes, targets, cost)
    return [(query[index.argsort()], index[index.argsort()]) for query, index in assignments]


def first_image_for_all(logits, boxes, targets, cost):
    return match(logits[:1].expand_as(logits), boxes[:1].expand_as(boxes), targets, cost)


def loss_with(**changes):
    """The right answer after a change of its arguments."""

    def answer(logits, boxes, targets, assignments, focal):
        given = dict(logits=logits, boxes=boxes, targets=targets, assignments=assignments)
        return layer_loss(**(given | {name: change(given) for name, change in changes.items()}), focal=focal)

    return answer


def distance_twice(logits, boxes, targets, assignments, focal):
    loss_ce, loss_bbox, _ = layer_loss(logits, boxes, targets, assignments, focal)
    return loss_ce, loss_bbox, loss_bbox


def weighted(logits, boxes, targets, assignments, focal):
    weights = (2, 5, 2)
    terms = layer_loss(logits, boxes, targets, assignments, focal)
    return tuple(weight * term for weight, term in zip(weights, terms, strict=True))


def mean_over_the_four_numbers(logits, boxes, targets, assignments, focal):
    loss_ce, loss_bbox, loss_giou = layer_loss(logits, boxes, targets, assignments, focal)
    return loss_ce, loss_bbox / 4, loss_giou


def all_pairs(logits, boxes, targets, assignments, focal):
    """GIoU of each matched box with each object."""
    loss_ce, loss_bbox, _ = layer_loss(logits, boxes, targets, assignments, focal)
    sums = [
        (1 - generalized_box_iou(cxcywh_to_xyxy(one[query]), cxcywh_to_xyxy(target["boxes"]))).sum()
        for one, (query, _), target in zip(boxes, assignments, targets, strict=True)
    ]
    return loss_ce, loss_bbox, sum(sums) / max(sum(len(target["labels"]) for target in targets), 1)


MISTAKES = {
    "17-attention": {
        "padding read": attention_without_padding,
        "mask the wrong way round": mask_the_wrong_way_round,
        "features zeroed in place": zeroed_in_place,
        "references detached": no_gradient_at_references,
        "boxes taken for points": boxes_as_points,
        "levels the wrong way round": own_level_first,
        "value and output matrix swapped": swapped("value_proj", "output_proj", attend),
        "detached": lambda *args: attend(*args).detach(),
    },
    "17-encoder-layer": {
        "positions kept in x": positions_kept,
        "ffn first": ffn_first,
        "norms left out": norms_left_out,
        "norms swapped": swapped("attention_norm", "ffn_norm", EncoderLayer.forward),
        "x changed in place": added_in_place,
        "positions changed in place": positions_added_in_place,
        "detached": lambda *args: EncoderLayer.forward(*args).detach(),
        "x detached": lambda self, x, *rest: EncoderLayer.forward(self, x.detach(), *rest),
    },
    "17-decoder-layer": {
        "cross-attention first": cross_attention_first,
        "ratios of the other axis": ratios_of_the_other_axis,
        "reference detached": reference_detached,
        "no self-attention": no_self_attention,
        "norms swapped": swapped("self_norm", "cross_norm", DecoderLayer.forward),
        "dropouts swapped": swapped("dropout_self", "dropout_cross", DecoderLayer.forward),
        "memory detached": lambda self, content, position, reference, memory, tokens: DecoderLayer.forward(
            self, content, position, reference, memory.detach(), tokens
        ),
    },
    "17-decoder": {
        "heads of the last layer": heads_of_the_last_layer,
        "content detached": content_detached,
        "first reference detached": decoded(reference=lambda given: given["reference"].detach()),
        "refined from its own box": decoded(refine=lambda given: lambda reference, delta: delta.sigmoid()),
        "content and position swapped": decoded(
            content=lambda given: given["position"], position=lambda given: given["content"]
        ),
        "all under no_grad": torch.no_grad()(decode),
        "boxes alone": lambda *args: [boxes for _, boxes in decode(*args)],
    },
    "17-matching": {
        "greedy": greedy,
        "in the order of the objects": order_of_the_objects,
        "the first image for all": first_image_for_all,
        "class alone": lambda logits, boxes, targets, cost: match(logits, torch.full_like(boxes, 0.5), targets, cost),
        "labels of channel 0": lambda logits, boxes, targets, cost: match(
            logits, boxes, [{**target, "labels": 0 * target["labels"]} for target in targets], cost
        ),
        "indices as lists": lambda *args: [(q.tolist(), i.tolist()) for q, i in match(*args)],
    },
    "17-layer-loss": {
        "weights applied": weighted,
        "mean over the four numbers": mean_over_the_four_numbers,
        "all pairs": all_pairs,
        "L1 in place of GIoU": distance_twice,
        "boxes detached": loss_with(boxes=lambda given: given["boxes"].detach()),
        "logits detached": loss_with(logits=lambda given: given["logits"].detach()),
        "label 0 for all": loss_with(
            targets=lambda given: [{**target, "labels": 0 * target["labels"]} for target in given["targets"]]
        ),
        "L1 of the corners": lambda logits, boxes, targets, assignments, focal: (
            layer_loss(logits, boxes, targets, assignments, focal)[0],
            *layer_loss(
                logits,
                cxcywh_to_xyxy(boxes),
                [{**target, "boxes": cxcywh_to_xyxy(target["boxes"])} for target in targets],
                assignments,
                focal,
            )[1:],
        ),
        "their sum": lambda *args: sum(layer_loss(*args)),
    },
}


def test_the_solutions_are_the_packages_parts_to_the_last_bit():
    """So that a notebook without answers trains the same detector twice."""
    images, queries, heads, shapes, points = SIZES[1]
    tokens, query = some_tokens(images, shapes), torch.randn(images, queries, WIDTH)
    module = awake(MultiScaleDeformableAttention(WIDTH, heads, len(shapes), points))
    for numbers in (2, 4):
        given = query, torch.rand(images, queries, len(shapes), numbers), tokens.features, shapes, tokens.mask
        assert torch.equal(attend(module, *given), module(*given))
    for queries, classes, counts in CROWDS:
        logits, boxes, targets = some_predictions(queries, classes, counts)
        assignments, expected = match(logits, boxes, targets), hungarian_match(logits, boxes, targets)
        for mine, theirs in zip(assignments, expected, strict=True):
            assert torch.equal(mine[0], theirs[0]) and torch.equal(mine[1], theirs[1])
        terms = layer_losses({"pred_logits": logits, "pred_boxes": boxes}, targets, float(max(sum(counts), 1)))
        assert list(layer_loss(logits, boxes, targets, assignments)) == [term.value for term in terms]


def test_the_sentences_say_what_is_off():
    sentence = three_ways.refuses("17-encoder-layer", added_in_place)
    assert sentence.startswith("added_in_place changes its argument `x`, which the caller may still need")
    sentence = three_ways.refuses("17-encoder-layer", positions_added_in_place)
    assert sentence.startswith("positions_added_in_place changes its argument `tokens`")
    sentence = three_ways.refuses("17-decoder", content_detached)
    assert "the numbers are right, but their gradient at `content`" in sentence
    sentence = three_ways.refuses("17-matching", MISTAKES["17-matching"]["indices as lists"])
    assert sentence.endswith("is a list, expected a Tensor of shape (1,)")


def test_a_dropout_that_is_not_used_is_noticed():
    def without(self, content, position, reference, memory, tokens):
        self.dropout_self = torch.nn.Identity()
        return DecoderLayer.forward(self, content, position, reference, memory, tokens)

    three_ways.refuses("17-decoder-layer", without)


def test_an_answer_may_be_written_in_another_way():
    """What counts are the numbers."""

    def loss_in_a_loop(logits, boxes, targets, assignments, focal):
        truth, distance, overlap = torch.zeros_like(logits), 0.0 * boxes.sum(), 0.0 * boxes.sum()
        for image, (query, index) in enumerate(assignments):
            for one, other in zip(query.tolist(), index.tolist(), strict=True):
                truth[image, one, targets[image]["labels"][other]] = 1.0
                mine, wanted = boxes[image, one], targets[image]["boxes"][other]
                distance = distance + (mine - wanted).abs().sum()
                corners = cxcywh_to_xyxy(mine)[None], cxcywh_to_xyxy(wanted)[None]
                overlap = overlap + 1 - generalized_box_iou(*corners).squeeze()
        objects = max(sum(len(target["labels"]) for target in targets), 1)
        return [focal(logits, truth).sum() / objects, distance / objects, overlap / objects]

    exercises.examine(exercises.find("17-layer-loss"), loss_in_a_loop)
