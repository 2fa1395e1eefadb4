"""Attention as a matrix, for both kinds of model."""

import math

import numpy as np
import pytest
import torch

from defdetr_ref import DetrBaseline
from defdetr_ref.explain import record
from defdetr_ref.explain.matrices import (
    attention_matrices,
    dense_matrix,
    normalised_entropy,
    sampling_matrix,
    spatial_spread,
    token_centres,
)
from defdetr_ref.layers import DenseAttention
from tests.small_models import small_batch, small_config, small_model

HEADS, ENCODER_LAYERS, DECODER_LAYERS, QUERIES = 4, 1, 3, 7
SHAPES = [(12, 16), (6, 8), (3, 4)]  # of 96×128 images at strides 8, 16, 32
TOKENS = 192 + 48 + 12


def dense_model() -> DetrBaseline:
    torch.manual_seed(3)
    return DetrBaseline(small_config("multi")).eval()


@pytest.mark.parametrize("make", [dense_model, lambda: small_model("multi")])
def test_every_layer_has_a_matrix_of_heads_queries_and_tokens(make):
    images, mask, _ = small_batch()
    model = make().train()
    found = attention_matrices(model, images, mask)
    assert model.training and all(matrix.requires_grad is False for matrix in found["decoder"])
    assert [tuple(matrix.shape) for matrix in found["encoder"]] == [(2, HEADS, TOKENS, TOKENS)] * ENCODER_LAYERS
    assert [tuple(matrix.shape) for matrix in found["decoder"]] == [(2, HEADS, QUERIES, TOKENS)] * DECODER_LAYERS
    assert not any(attention._forward_pre_hooks for attention in model.modules())


def test_dense_rows_sum_to_one_and_leave_padding_out():
    images, mask, _ = small_batch()
    for matrix in attention_matrices(dense_model(), images, mask)["decoder"]:
        torch.testing.assert_close(matrix.sum(-1), torch.ones(2, HEADS, QUERIES))
        assert (matrix == 0).any() and (matrix[0, 0, 0] != matrix[0, 1, 0]).any()  # heads differ


def test_the_dense_matrix_applied_to_the_values_is_the_attention():
    torch.manual_seed(5)
    attention = DenseAttention(32, HEADS, dropout=0.0)
    query, key, value = torch.randn(2, 3, 32), torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    matrix = dense_matrix(attention, query, key, value, padding)  # (2, M, 3, 5)
    projected = value @ attention.in_proj_weight[64:].T + attention.in_proj_bias[64:]
    heads = projected.unflatten(-1, (HEADS, -1)).transpose(1, 2)  # (2, M, 5, D)
    by_hand = attention.out_proj((matrix @ heads).transpose(1, 2).flatten(2))
    torch.testing.assert_close(by_hand, attention(query, key, value, padding))


def test_the_sampling_matrix_applied_to_the_values_is_the_operator():
    images, mask, _ = small_batch()
    model = small_model("multi")
    seen = {}
    layer = model.decoder.layers[1].cross_attention.sampling
    layer.register_forward_hook(lambda module, args, output: seen.update(value=args[0], output=output))
    with torch.no_grad(), record(model) as recording:
        model(images, mask)
    found = recording[-1].decoder[1]
    matrix = sampling_matrix(found.spatial_shapes, found.sampling_locations, found.attention_weights)  # (N, M, Q, S)
    by_hand = torch.einsum("nmqs,nsmd->nqmd", matrix, seen["value"]).flatten(2)
    torch.testing.assert_close(by_hand, seen["output"], rtol=1e-4, atol=1e-5)


def test_entropy_is_one_for_even_rows_and_zero_for_a_single_token():
    rows = torch.zeros(1, 2, 3, 8)
    rows[0, 0] = 1 / 8
    rows[0, 1, :, 5] = 0.25  # a row need not sum to one
    rows[0, 1, 2, :2] = 0.25
    found = normalised_entropy(rows)
    np.testing.assert_allclose(found[0, 0], 1.0, rtol=1e-6)
    np.testing.assert_allclose(found[0, 1], [0, 0, math.log(3) / math.log(8)], atol=1e-6)
    assert normalised_entropy(torch.zeros(1, 1, 1, 4)).item() == 0


def test_spread_is_the_root_mean_square_distance_from_the_centre():
    shapes = [(2, 4), (1, 2)]
    rows = torch.zeros(1, 1, 3, 10)
    rows[0, 0, 0, 6] = 1.0  # one token
    rows[0, 0, 1, [0, 3]] = 0.5  # x = 1/8 and 7/8 of the first row
    rows[0, 0, 2, [0, 8]] = torch.tensor([0.75, 0.25])  # (1/8, 1/4) and the coarse level's (1/4, 1/2)
    apart = math.hypot(1 / 8, 1 / 4)
    found = spatial_spread(rows, shapes)[0, 0]
    np.testing.assert_allclose(found, [0, 3 / 8, apart * math.sqrt(0.75 * 0.25)], atol=1e-6)


def test_even_attention_to_a_large_square_reaches_root_of_a_sixth():
    shapes = [(40, 40), (20, 20)]
    rows = torch.full((1, 1, 1, 2000), 1 / 2000)
    assert spatial_spread(rows, shapes).item() == pytest.approx(math.sqrt(1 / 6), abs=1e-3)


def test_token_centres_run_row_by_row_level_by_level():
    centres = token_centres([(2, 4), (1, 2)])
    np.testing.assert_allclose(centres[[0, 1, 4, 9]], [[1 / 8, 1 / 4], [3 / 8, 1 / 4], [1 / 8, 3 / 4], [3 / 4, 1 / 2]])
