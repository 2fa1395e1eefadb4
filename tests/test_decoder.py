"""What goes where in the decoder: stand-ins for its parts record what they are given and give known numbers."""

import pytest
import torch
from torch import nn

from defdetr_ref.decoder import (
    Decoder,
    DecoderLayer,
    Prediction,
    Queries,
    RefiningDecoder,
    as_outputs,
    scale_to_padding,
)
from defdetr_ref.layers import BoxHead
from tests.stand_ins import Recorder, Times
from tests.test_encoder import D_MODEL, SHAPES, TOKENS, make_tokens

QUERIES, CLASSES = 5, 4


def draw(*size: int, seed=1) -> torch.Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


def test_a_place_in_the_image_becomes_one_in_each_padded_level():
    ratios = torch.tensor([[[0.5, 1.0], [0.6, 0.8]], [[1.0, 0.25], [1.0, 0.3]]])  # two images, two levels, (x, y)
    point = torch.tensor([[[0.4, 0.2]], [[0.8, 0.6]]])
    on_levels = torch.tensor([[[[0.2, 0.2], [0.24, 0.16]]], [[[0.8, 0.15], [0.8, 0.18]]]])
    torch.testing.assert_close(scale_to_padding(point, ratios), on_levels)
    box = torch.cat([point, point / 2], dim=-1)
    torch.testing.assert_close(scale_to_padding(box, ratios), torch.cat([on_levels, on_levels / 2], dim=-1))


@pytest.mark.parametrize("coordinates", [2, 4])
def test_one_layer_by_hand(coordinates):
    """The position is added before both attentions and stays out of the values and of the residual sums."""
    layer = DecoderLayer(d_model=D_MODEL, num_heads=3, num_levels=2, num_points=4, d_ffn=5, dropout=0.0)
    size = (2, QUERIES, D_MODEL)
    among, across, fed = torch.full(size, 0.3), torch.full(size, -0.4), torch.full(size, 0.2)
    layer.self_attention, layer.cross_attention, layer.ffn = Recorder(among), Recorder(across), Recorder(fed)
    layer.dropout_self, layer.dropout_cross = Times(10), Times(100)
    layer.self_norm, layer.cross_norm, layer.ffn_norm = Times(2), Times(3), Times(5)
    tokens = make_tokens()
    content, position, memory = draw(*size), draw(*size, seed=2), draw(2, TOKENS, D_MODEL, seed=3)
    reference = draw(2, QUERIES, coordinates)
    output = layer(content, position, reference, memory, tokens)

    query, key, value = layer.self_attention.calls[0]
    torch.testing.assert_close(query, content + position)
    torch.testing.assert_close(key, content + position)
    torch.testing.assert_close(value, content)
    content = 2 * (content + 10 * among)
    query, places, seen, shapes, mask = layer.cross_attention.calls[0]
    torch.testing.assert_close(query, content + position)
    assert seen is memory and shapes == SHAPES and mask is tokens.mask
    torch.testing.assert_close(places[0], reference[0, :, None].expand(-1, 2, -1))  # the first image is not padded
    scale = torch.tensor([[2 / 3, 1.0], [0.75, 1.0]]).repeat(1, coordinates // 2)
    torch.testing.assert_close(places[1], reference[1, :, None] * scale)
    content = 3 * (content + 100 * across)
    torch.testing.assert_close(layer.ffn.calls[0][0], content)
    torch.testing.assert_close(output, 5 * (content + fed))


def test_sizes_of_a_layer():
    layer = DecoderLayer(d_model=D_MODEL, num_heads=3, num_levels=2, num_points=4, d_ffn=5, dropout=0.25)
    cross = layer.cross_attention
    assert (cross.num_heads, cross.num_levels, cross.num_points) == (3, 2, 4)
    assert cross.value_proj.in_features == D_MODEL and layer.ffn.linear1.weight.shape == (5, D_MODEL)
    assert (layer.self_attention.embed_dim, layer.self_attention.num_heads) == (D_MODEL, 3)
    for norm in (layer.self_norm, layer.cross_norm, layer.ffn_norm):
        assert norm.normalized_shape == (D_MODEL,)
    assert {module.p for module in layer.modules() if isinstance(module, nn.Dropout)} == {0.25}
    assert layer.self_attention.dropout == 0.25


class RecordingLayer(DecoderLayer):
    """Adds its number to the content and keeps what it was given."""

    def __init__(self, number: int):
        super().__init__(d_model=D_MODEL, num_heads=3, num_levels=2, num_points=4, d_ffn=5, dropout=0.0)
        self.number, self.calls = number, []

    def forward(self, content, position, reference, memory, tokens):
        self.calls.append((content, position, reference, memory, tokens))
        return content + self.number


def make_box_head(seed: int) -> BoxHead:
    head = BoxHead(D_MODEL)
    nn.init.constant_(head.layers[-1].weight, 0.01 * seed)
    nn.init.constant_(head.layers[-1].bias, 0.2 * seed)
    return head


def decode(decoder_class, reference):
    """The decoder after three layers, its queries, and its predictions."""
    torch.manual_seed(0)
    layers = [RecordingLayer(number) for number in (1, 2, 3)]
    class_heads = [nn.Linear(D_MODEL, CLASSES) for _ in layers]
    decoder = decoder_class(layers, class_heads, [make_box_head(seed) for seed in (1, 2, 3)])
    queries = Queries(draw(2, QUERIES, D_MODEL), draw(2, QUERIES, D_MODEL, seed=2), reference)
    memory, tokens = draw(2, TOKENS, D_MODEL, seed=3), make_tokens()
    predictions = decoder(queries, memory, tokens)
    for layer in layers:
        _, position, _, seen, given = layer.calls[0]
        assert position is queries.position and seen is memory and given is tokens and len(layer.calls) == 1
    return decoder, queries, predictions


@pytest.mark.parametrize("decoder_class", [Decoder, RefiningDecoder])
@pytest.mark.parametrize("coordinates", [2, 4])
def test_each_layer_predicts_around_its_reference(decoder_class, coordinates):
    start = (0.2 + 0.5 * draw(2, QUERIES, coordinates)).requires_grad_()
    decoder, queries, predictions = decode(decoder_class, start)
    assert len(predictions) == 3
    content, reference = queries.content, start
    for number, prediction in enumerate(predictions):
        given = decoder.layers[number].calls[0]
        torch.testing.assert_close(given[0], content)
        torch.testing.assert_close(given[2], reference)
        content = content + number + 1
        torch.testing.assert_close(prediction.logits, decoder.class_heads[number](content))
        moved = decoder.box_heads[number](content)
        moved[..., : reference.shape[-1]] += torch.log(reference / (1 - reference))
        torch.testing.assert_close(prediction.boxes, torch.sigmoid(moved))
        if decoder_class is RefiningDecoder:
            reference = prediction.boxes


def test_the_gradient_stops_at_the_box_of_the_layer_before():
    start = (0.2 + 0.5 * draw(2, QUERIES, 2)).requires_grad_()
    decoder, _, predictions = decode(RefiningDecoder, start)
    first, *later = (layer.calls[0][2] for layer in decoder.layers)
    assert first is start and not any(reference.requires_grad for reference in later)
    assert all(prediction.boxes.requires_grad for prediction in predictions)
    predictions[1].boxes.sum().backward()
    assert decoder.box_heads[0].layers[-1].bias.grad is None and start.grad is None
    assert (decoder.box_heads[1].layers[-1].bias.grad != 0).all()


def test_without_refinement_every_layer_moves_the_first_reference():
    start = (0.2 + 0.5 * draw(2, QUERIES, 2)).requires_grad_()
    decoder, _, predictions = decode(Decoder, start)
    assert all(layer.calls[0][2] is start for layer in decoder.layers)
    predictions[2].boxes.sum().backward()
    assert (start.grad != 0).all() and decoder.box_heads[0].layers[-1].bias.grad is None


@pytest.mark.parametrize("has_first_stage", [False, True])
def test_the_last_layer_is_what_the_model_says_and_the_others_are_beside_it(has_first_stage):
    layers = [Prediction(draw(2, QUERIES, CLASSES, seed=seed), draw(2, QUERIES, 4, seed=-seed)) for seed in (1, 2, 3)]
    first_stage = Prediction(draw(2, TOKENS, 1), draw(2, TOKENS, 4)) if has_first_stage else None
    outputs = as_outputs(layers, first_stage)
    *others, last = layers
    assert outputs["pred_logits"] is last.logits and outputs["pred_boxes"] is last.boxes
    found = [(one["pred_logits"], one["pred_boxes"]) for one in outputs["aux_outputs"]]
    assert [[id(part) for part in one] for one in found] == [[id(one.logits), id(one.boxes)] for one in others]
    assert outputs.keys() - {"pred_logits", "pred_boxes", "aux_outputs"} == ({"enc_outputs"} if first_stage else set())
    if first_stage:
        assert outputs["enc_outputs"] == {"pred_logits": first_stage.logits, "pred_boxes": first_stage.boxes}
