"""Mistakes that the checks of notebook 14 refuse; test_course.py tries them."""

import torch

from defdetr_ref.course.exercises.n14 import bucket_mask, convolution_as_attention, low_rank_factors, window_mask


def window_but(height, width, size, *, per_row=None, near=lambda d, size: d <= size // 2, join=torch.logical_and):
    token = torch.arange(height * width)
    per_row = per_row or width
    rows, columns = ((part[:, None] - part[None]).abs() for part in (token // per_row, token % per_row))
    return join(near(rows, size), near(columns, size))


def around_the_edge(height, width, size):
    parts = grid_rows(height, width), grid_columns(height, width)
    rows, columns = ((part[:, None] - part[None]).abs() for part in parts)
    return (torch.minimum(rows, height - rows) <= size // 2) & (torch.minimum(columns, width - columns) <= size // 2)


def grid_rows(height, width):
    return torch.arange(height * width) // width


def grid_columns(height, width):
    return torch.arange(height * width) % width


def in_the_row_of_tokens(height, width, size):
    token = torch.arange(height * width)
    return (token[:, None] - token[None]).abs() <= size // 2


def round_window(height, width, size):
    rows, columns = (part[:, None] - part[None] for part in (grid_rows(height, width), grid_columns(height, width)))
    return rows**2 + columns**2 <= (size // 2) ** 2


def argsort_once(queries, keys, direction, size):
    query_bucket, key_bucket = ((tokens @ direction).argsort() // size for tokens in (queries, keys))
    return query_bucket[:, None] == key_bucket[None]


def by_value(queries, keys, direction, size):
    query_bucket, key_bucket = ((tokens @ direction / size).floor() for tokens in (queries, keys))
    return query_bucket[:, None] == key_bucket[None]


def by_place(queries, keys, direction, size):
    bucket = torch.arange(len(queries)) // size
    return bucket[:, None] == bucket[None]


def low_rank_but(queries, keys, pooling, *, scale=None, dim=-1, swapped=False, right=None):
    left = (queries @ (pooling @ keys).T / (scale or queries.shape[-1] ** 0.5)).softmax(dim)
    return (pooling, left) if swapped else (left, pooling if right is None else right)


def pooled_after_softmax(queries, keys, pooling):
    return (queries @ keys.T / queries.shape[-1] ** 0.5).softmax(-1) @ pooling.T, pooling


def convolution_but(
    weight, *, flip_offsets=False, negative=False, corner=False, unit=False, order="hwc", swap_io=False
):
    offsets, matrix = convolution_as_attention(weight)
    height, width = weight.shape[2:]
    if flip_offsets:
        offsets = offsets.flip(-1)
    if negative:
        offsets = -offsets
    if corner:
        offsets = offsets - offsets.amin(0)
    if unit:
        offsets = offsets / torch.tensor([width, height])
    if order == "chw":
        matrix = weight.flatten(1)
    if order == "whc":
        matrix = weight.permute(0, 3, 2, 1).flatten(1)
    return offsets, matrix.T if swap_io else matrix


MISTAKES = {
    "14-window": {
        "a window in the row of tokens": in_the_row_of_tokens,
        "H and W swapped": lambda height, width, size: window_but(height, width, size, per_row=height),
        "size is the radius": lambda *args: window_but(*args, near=lambda d, size: d <= size),
        "one pixel short": lambda *args: window_but(*args, near=lambda d, size: d < size // 2),
        "row or column": lambda *args: window_but(*args, join=torch.logical_or),
        "around the edge": around_the_edge,
        "a round window": round_window,
        "only keys before the query": lambda *args: window_mask(*args).tril(),
        "True where masked": lambda *args: ~window_mask(*args),
        "numbers instead of booleans": lambda *args: window_mask(*args).float(),
    },
    "14-buckets": {
        "argsort once": argsort_once,
        "cut by value": by_value,
        "cut by place": by_place,
        "keys and queries swapped": lambda queries, keys, direction, size: bucket_mask(keys, queries, direction, size),
        "only queries sorted": lambda queries, keys, direction, size: bucket_mask(queries, queries, direction, size),
        "only keys sorted": lambda queries, keys, direction, size: bucket_mask(keys, keys, direction, size),
        "size is the number of buckets": lambda q, k, direction, size: bucket_mask(q, k, direction, len(q) // size),
        "True where masked": lambda *args: ~bucket_mask(*args),
    },
    "14-low-rank": {
        "softmax over the queries": lambda *args: low_rank_but(*args, dim=0),
        "not scaled": lambda *args: low_rank_but(*args, scale=1.0),
        "scaled by the pooled tokens": lambda q, k, pooling: low_rank_but(q, k, pooling, scale=len(pooling) ** 0.5),
        "pooled after the softmax": pooled_after_softmax,
        "factors swapped": lambda *args: low_rank_but(*args, swapped=True),
        "pooling transposed": lambda q, k, pooling: low_rank_but(q, k, pooling, right=pooling.T),
        "pooled keys instead of the pooling": lambda q, k, pooling: low_rank_but(q, k, pooling, right=pooling @ k),
        "the product": lambda *args: torch.matmul(*low_rank_factors(*args)),
        "keys and queries swapped": lambda q, k, pooling: low_rank_factors(k, q, pooling),
    },
    "14-convolution": {
        "y before x": lambda weight: convolution_but(weight, flip_offsets=True),
        "kernel turned around": lambda weight: convolution_but(weight, negative=True),
        "from the kernel's corner": lambda weight: convolution_but(weight, corner=True),
        "offsets in [0, 1]": lambda weight: convolution_but(weight, unit=True),
        "channels before heads": lambda weight: convolution_but(weight, order="chw"),
        "heads column by column": lambda weight: convolution_but(weight, order="whc"),
        "input and output swapped": lambda weight: convolution_but(weight, swap_io=True),
        "only the offsets": lambda weight: convolution_but(weight)[0],
    },
}  # fmt: skip
