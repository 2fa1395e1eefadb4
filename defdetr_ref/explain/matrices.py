"""Attention as a matrix: how much every query takes from every token, for dense and for deformable attention.

    attention_matrices(model, images)["decoder"][-1]          # (batch, head, query, token), each row sums to 1

Both kinds of model give the same thing, so the same questions can be asked of both: how wide is a row, how many tokens
count in it? The matrices are as large as the feature maps squared: for small images only.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from defdetr_ref.dense import DetrBaseline
from defdetr_ref.explain.recording import AttentionRecord, record
from defdetr_ref.inference import evaluation_mode
from defdetr_ref.layers import DenseAttention
from defdetr_ref.ops import ms_deform_attn
from defdetr_ref.positions import pixel_centres

Matrix = Float[Tensor, "batch head query token"]


def attention_matrices(
    model: nn.Module,
    images: Float[Tensor, "batch 3 height width"],
    mask: Bool[Tensor, "batch height width"] | None = None,
) -> dict[str, list[Matrix]]:
    """{"encoder": a matrix for every layer, "decoder": likewise}, in evaluation mode and without gradients.

    model: DeformableDETR or DetrBaseline. The decoder's are those of its queries over the tokens, not of the queries
    among themselves.
    """
    with evaluation_mode(model):
        if isinstance(model, DetrBaseline):
            with _recorded_dense(model) as found:
                model(images, mask)
            return found
        with record(model) as recording:
            model(images, mask)
    return {part: [_matrix_of(one) for one in getattr(recording[-1], part)] for part in ("encoder", "decoder")}


def _matrix_of(found: AttentionRecord) -> Matrix:
    return sampling_matrix(found.spatial_shapes, found.sampling_locations, found.attention_weights)


def sampling_matrix(
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Float[Tensor, "batch query head level point 2"],
    attention_weights: Float[Tensor, "batch query head level point"],
) -> Matrix:
    """The matrix that deformable attention never builds: row q holds what query q takes from every token.

    The operator is linear in its values, so it is read off by letting it sample the identity matrix: token s has the
    value "1 in channel s". A row sums to less than 1 where points lie outside the image, which read zero.
    """
    batch, _, heads = attention_weights.shape[:3]
    tokens = sum(height * width for height, width in spatial_shapes)
    identity = torch.eye(tokens, dtype=attention_weights.dtype, device=attention_weights.device)
    value = identity[None, :, None].expand(batch, -1, heads, -1)  # (N, S, M, S)
    rows = ms_deform_attn(value, spatial_shapes, sampling_locations, attention_weights)  # (N, Q, M·S)
    return rows.unflatten(-1, (heads, tokens)).transpose(1, 2)


@contextmanager
def _recorded_dense(model: DetrBaseline) -> Iterator[dict[str, list[Matrix]]]:
    """Inside the block, every forward pass adds its matrices."""
    found: dict[str, list[Matrix]] = {"encoder": [], "decoder": []}

    def add_to(part: str):
        def hook(attention: DenseAttention, args: tuple) -> None:
            query, key, value, padding_mask = (*args, None)[:4]
            found[part].append(dense_matrix(attention, query, key, value, padding_mask))

        return hook

    handles = [layer.attention.register_forward_pre_hook(add_to("encoder")) for layer in model.encoder_layers]
    handles += [layer.cross_attention.register_forward_pre_hook(add_to("decoder")) for layer in model.decoder_layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def dense_matrix(
    attention: DenseAttention, query: Tensor, key: Tensor, value: Tensor, padding_mask: Tensor | None = None
) -> Matrix:
    """softmax(QKᵀ/√d) of every head, as PyTorch's own module computes it when it is asked for its weights."""
    options = {"key_padding_mask": padding_mask, "need_weights": True, "average_attn_weights": False}
    return nn.MultiheadAttention.forward(attention, query, key, value, **options)[1].detach()


def normalised_entropy(matrix: Matrix) -> Float[Tensor, "batch head query"]:
    """How evenly a row is spread over the S tokens: −Σ p log p / log S. 1: all alike; 0: one token takes everything.

    Rows are divided by their sum first.
    """
    return torch.special.entr(row_shares(matrix)).sum(-1) / math.log(matrix.shape[-1])


def spatial_spread(matrix: Matrix, spatial_shapes: Sequence[tuple[int, int]]) -> Float[Tensor, "batch head query"]:
    """How far a row reaches: the root of the weighted mean squared distance of the tokens from their weighted centre.

    In sides of the image; even attention to a whole square image gives √(1/6) = 0.41. Tokens of all levels lie at the
    centres of their cells.
    """
    share, places = row_shares(matrix), token_centres(spatial_shapes).to(matrix)
    centre = share @ places  # (N, M, Q, 2)
    return ((share @ places.square()) - centre.square()).clamp(min=0).sum(-1).sqrt()


def token_centres(spatial_shapes: Sequence[tuple[int, int]]) -> Float[Tensor, "token 2"]:
    """x, y in [0, 1] of every token, all levels one after another."""
    return torch.cat([pixel_centres(*shape) / torch.tensor(shape[::-1]) for shape in spatial_shapes])


def row_shares(matrix: Matrix) -> Matrix:
    """Rows that sum to 1; one that takes nothing at all stays zero."""
    return matrix / matrix.sum(-1, keepdim=True).clamp(min=torch.finfo(matrix.dtype).tiny)
