"""What goes where in the encoder: stand-ins for its parts record what they are given and give known numbers."""

import torch
from torch import nn

from defdetr_ref.encoder import Encoder, EncoderLayer
from defdetr_ref.positions import token_centres
from defdetr_ref.pyramid import PyramidTokens
from tests.stand_ins import Recorder, Times

SHAPES = [(2, 3), (1, 4)]
TOKENS, D_MODEL = 10, 12


def make_tokens(seed=0) -> PyramidTokens:
    """Two images; the second is padded on the right."""
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.rand(*size, generator=rng)  # noqa: E731
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[1, [2, 5, 9]] = True
    ratios = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[2 / 3, 1.0], [0.75, 1.0]]])
    return PyramidTokens(
        draw(2, TOKENS, D_MODEL), draw(2, TOKENS, D_MODEL), mask, SHAPES, ratios, token_centres(SHAPES, ratios)
    )


def test_one_layer_by_hand():
    layer = EncoderLayer(d_model=D_MODEL, num_heads=3, num_levels=2, num_points=4, d_ffn=5, dropout=0.0)
    attended, fed = torch.full((2, TOKENS, D_MODEL), 0.3), torch.full((2, TOKENS, D_MODEL), -0.2)
    layer.attention, layer.ffn = Recorder(attended), Recorder(fed)
    layer.dropout, layer.attention_norm, layer.ffn_norm = Times(10), Times(2), Times(3)
    tokens, x, places = make_tokens(), torch.randn(2, TOKENS, D_MODEL), torch.rand(2, TOKENS, 2, 2)
    output = layer(x, tokens, places)
    query, reference, features, shapes, mask = layer.attention.calls[0]
    torch.testing.assert_close(query, x + tokens.positions)
    assert reference is places and features is x and shapes == SHAPES and mask is tokens.mask
    middle = 2 * (x + 10 * attended)
    torch.testing.assert_close(layer.ffn.calls[0][0], middle)
    torch.testing.assert_close(output, 3 * (middle + fed))


def test_sizes_of_a_layer():
    layer = EncoderLayer(d_model=D_MODEL, num_heads=3, num_levels=2, num_points=4, d_ffn=5, dropout=0.25)
    attention = layer.attention
    assert (attention.num_heads, attention.num_levels, attention.num_points) == (3, 2, 4)
    assert attention.value_proj.in_features == D_MODEL and layer.ffn.linear1.weight.shape == (5, D_MODEL)
    assert layer.attention_norm.normalized_shape == layer.ffn_norm.normalized_shape == (D_MODEL,)
    assert {module.p for module in layer.modules() if isinstance(module, nn.Dropout)} == {0.25}


class RecordingLayer(EncoderLayer):
    """Adds one and keeps what it was given."""

    def __init__(self):
        super().__init__(d_model=D_MODEL, num_heads=3, num_levels=2, num_points=4, d_ffn=5, dropout=0.0)
        self.calls = []

    def forward(self, x, tokens, reference_points):
        self.calls.append((x, tokens, reference_points))
        return x + 1


def test_layers_one_after_the_other_with_the_same_places():
    encoder, tokens = Encoder([RecordingLayer() for _ in range(3)]), make_tokens()
    torch.testing.assert_close(encoder(tokens), tokens.features + 3)
    for number, layer in enumerate(encoder.layers):
        ((x, given, places),) = layer.calls
        torch.testing.assert_close(x, tokens.features + number)
        assert given is tokens and places.shape == (2, TOKENS, 2, 2)
        # the last pixel of the coarse level of the first image, and the first one of the second image on both levels
        torch.testing.assert_close(places[0, 9], torch.tensor([[3.5 / 4, 0.5]] * 2))
        x = 0.5 / (3 * (2 / 3))
        torch.testing.assert_close(places[1, 0], torch.tensor([[x * 2 / 3, 0.25], [x * 0.75, 0.25]]))
