"""Notebook 14, relatives: each family of efficient attention as a mask or as factors, and convolution as attention."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from defdetr_ref.course.exercises.calling import WrongAnswer, call
from defdetr_ref.course.exercises.checking import expect_close, expect_same
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.ops import ms_deform_attn
from defdetr_ref.positions import pixel_centres


def window_mask(height: int, width: int, size: int) -> Bool[Tensor, "query key"]:
    """True where the key lies in the size × size window around the query; tokens are pixels, row by row."""
    token = torch.arange(height * width)
    row, column = token // width, token % width
    near_rows = (row[:, None] - row[None]).abs() <= size // 2
    near_columns = (column[:, None] - column[None]).abs() <= size // 2
    return near_rows & near_columns


def examine_window(answer, right) -> None:
    for height, width, size in ((1, 1, 1), (1, 3, 1), (2, 3, 3), (3, 5, 3), (6, 4, 3), (4, 7, 5), (2, 3, 1)):
        what = f"the mask of a {size}×{size} window on a map of {height}×{width} (height × width)"
        expect_same(answer, right, (height, width, size), what)


def bucket_mask(
    queries: Float[Tensor, "token channel"],
    keys: Float[Tensor, "token channel"],
    direction: Float[Tensor, " channel"],
    size: int,
) -> Bool[Tensor, "token token"]:
    """True where query and key fall into the same bucket: both sorted along `direction`, cut after every `size`."""
    query_bucket, key_bucket = ((tokens @ direction).argsort().argsort() // size for tokens in (queries, keys))
    return query_bucket[:, None] == key_bucket[None]


def examine_buckets(answer, right) -> None:
    for tokens, channels, size in ((4, 1, 2), (12, 3, 4), (10, 5, 2), (15, 4, 5)):
        queries, keys, direction = torch.randn(tokens, channels), torch.randn(tokens, channels), torch.randn(channels)
        what = f"the mask of {tokens} tokens in buckets of {size}"
        expect_same(answer, right, (queries, keys, direction, size), what)


def low_rank_factors(
    queries: Float[Tensor, "query channel"], keys: Float[Tensor, "key channel"], pooling: Float[Tensor, "pooled key"]
) -> tuple[Float[Tensor, "query pooled"], Float[Tensor, "pooled key"]]:
    """Two factors whose product is the attention matrix: attention over pooled keys, and the pooling itself."""
    pooled = pooling @ keys
    return (queries @ pooled.T / queries.shape[-1] ** 0.5).softmax(-1), pooling


def examine_low_rank(answer, right) -> None:
    for tokens, channels, pooled in ((2, 1, 1), (12, 4, 3), (7, 5, 2)):
        queries, keys = torch.randn(tokens, channels), torch.randn(tokens, channels)
        pooling = torch.rand(pooled, tokens).softmax(-1)
        what = f"for {tokens} tokens and {pooled} pooled ones the factors"
        expect_same(answer, right, (queries, keys, pooling), what)


def convolution_as_attention(
    weight: Float[Tensor, "out channel kernel_height kernel_width"],
) -> tuple[Float[Tensor, "head 2"], Float[Tensor, "out head*channel"]]:
    """A head for each number of the kernel: its offset (x, y) in pixels, and all W_m beside each other."""
    height, width = weight.shape[2:]
    offsets = pixel_centres(height, width) - torch.tensor([width, height]) / 2  # (M, 2), row by row
    return offsets, rearrange(weight, "out channel height width -> out (height width channel)")


# kernel (height, width), channels in and out, map (height, width)
CONVOLUTIONS = (((1, 1), 1, 1, (2, 3)), ((3, 3), 2, 4, (5, 7)), ((1, 3), 3, 2, (6, 4)), ((5, 3), 2, 3, (6, 5)))


def examine_convolution(answer, right) -> None:
    """Any order of heads will do: what counts is what the attention computes."""
    for kernel, channels, out, (height, width) in CONVOLUTIONS:
        weight, image = torch.randn(out, channels, *kernel), torch.randn(2, channels, height, width)
        heads = kernel[0] * kernel[1]
        result = call(answer, weight)
        if not isinstance(result, tuple | list) or len(result) != 2 or not all(isinstance(x, Tensor) for x in result):
            raise WrongAnswer("expected two tensors, the offsets (M, 2) and the matrix (C_out, M·C)", hint="")
        offsets, matrix = result
        shapes = (heads, 2), (out, heads * channels)
        for name, tensor, shape in zip(("tensor of offsets", "matrix"), result, shapes, strict=True):
            if tuple(tensor.shape) != shape:
                found = tuple(tensor.shape)
                raise WrongAnswer(f"for a kernel of shape {kernel} the {name} has shape {found}, expected {shape}")
        read = read_at_offsets(image, offsets.float())
        right_offsets, right_matrix = right(weight)
        expected = read_at_offsets(image, right_offsets) @ right_matrix.T
        what = f"for a kernel of {kernel[0]}×{kernel[1]} (height × width) the attention's output"
        expect_close(read @ matrix.float().T, expected, what, rtol=1e-3, atol=1e-3)


def read_at_offsets(
    image: Float[Tensor, "batch channel height width"], offsets: Float[Tensor, "head 2"]
) -> Float[Tensor, "batch token head*channel"]:
    """One point for each head, from every pixel; each head reads all channels (W' is the identity), with weight 1."""
    batch, _, height, width = image.shape
    size = torch.tensor([width, height])
    locations = (pixel_centres(height, width)[:, None] + offsets) / size  # (Q, M, 2)
    locations = locations[None, :, :, None, None].expand(batch, -1, -1, -1, -1, -1).contiguous()
    value = rearrange(image, "n c h w -> n (h w) 1 c").expand(-1, -1, len(offsets), -1).contiguous()
    return ms_deform_attn(value, [(height, width)], locations, torch.ones(locations.shape[:-1]))


WINDOW = Exercise(
    "14-window",
    window_mask,
    examine_window,
    hint="Token t is the pixel in row t // width and column t % width.",
)
BUCKETS = Exercise(
    "14-buckets",
    bucket_mask,
    examine_buckets,
    hint="`x.argsort().argsort()` is the place of each x in the sorted row; queries and keys are sorted apart.",
)
LOW_RANK = Exercise(
    "14-low-rank",
    low_rank_factors,
    examine_low_rank,
    hint="Attention over the pooled keys is (N, r); the pooling itself, (r, N), hands each one's share to its tokens.",
)
CONVOLUTION = Exercise(
    "14-convolution",
    convolution_as_attention,
    examine_convolution,
    hint="A head is a place of the kernel: its offset from the kernel's middle, and weight[:, :, row, column].",
)
