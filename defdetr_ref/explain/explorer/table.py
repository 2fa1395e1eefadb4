"""The points of many queries, packed, so that a page can answer a click without Python.

The table is one row of 16-bit integers after another, layer by layer. A row is one query:

    reference x, y, width, height; then for every head, level and point: x, y, weight

Places count in 1/8192 of the image, so they reach from -4 to 4 with a tenth of a pixel of a 1000 pixel image; weights
in 1/32767. Width and height of a reference that is a point are -32768. What is beyond is moved to the limit.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from defdetr_ref.explain.explorer.exploration import Exploration, asks_pixels
from defdetr_ref.explain.recording import AttentionRecord

PLACE_STEPS = 8192
WEIGHT_STEPS = 32767
ABSENT = -32768
INTEGER_BYTES = 2
REFERENCE_NUMBERS, SAMPLE_NUMBERS = 4, 3
TABLE_BYTES = 4_000_000  # of an image; holds every query of the tiny model, and a part of the pixels of a large one
GRID_SIDES = (16, 12, 8, 6, 4, 2)  # pixels of a level that are in the table, along a side


def row_length(layer_record: AttentionRecord) -> int:
    """Integers in the row of one query."""
    samples = layer_record.attention_weights[0, 0].numel()
    return REFERENCE_NUMBERS + SAMPLE_NUMBERS * samples


def choose_queries(exploration: Exploration, part: str, layer: int) -> list[int]:
    """The queries of a layer that the table holds: all of them, if they fit.

    Else the objects with the best scores, or an even grid of the pixels of every level.
    """
    layer_record = exploration.record_of(part, layer)
    layers = sum(len(stack) for stack in exploration.stacks.values())
    room = max(1, TABLE_BYTES // layers // (INTEGER_BYTES * row_length(layer_record)))
    count = layer_record.attention_weights.shape[1]
    if count <= room:
        return list(range(count))
    if asks_pixels(layer_record):
        grids = (grid_tokens(layer_record.spatial_shapes, side) for side in GRID_SIDES)
        return next((tokens for tokens in grids if len(tokens) <= room), grid_tokens(layer_record.spatial_shapes, 1))
    objects = exploration.objects
    best = torch.arange(count) if objects is None else objects.scores.argsort(descending=True)
    return sorted(best[:room].tolist())


def grid_tokens(shapes: tuple[tuple[int, int], ...], side: int) -> list[int]:
    """Tokens at the middle of the cells of a grid of at most side × side over each level."""
    tokens, before = [], 0
    for height, width in shapes:
        rows, columns = _middles(height, side), _middles(width, side)
        tokens += [before + row * width + column for row in rows for column in columns]
        before += height * width
    return tokens


def _middles(length: int, side: int) -> list[int]:
    parts = min(length, side)
    return [int((part + 0.5) * length / parts) for part in range(parts)]


def pack_rows(exploration: Exploration, part: str, layer: int, queries: list[int]) -> bytes:
    """The rows of these queries, one after another, little-endian."""
    layer_record = exploration.record_of(part, layer)
    points = exploration.points_of(layer_record, queries)
    reference = torch.full((len(queries), REFERENCE_NUMBERS), ABSENT)
    first = points.reference[:, 0]  # the levels' references are equal but for the rounding of padding
    reference[:, : first.shape[-1]] = _steps(first, PLACE_STEPS)
    samples = [_steps(points.locations, PLACE_STEPS), _steps(points.weights, WEIGHT_STEPS)[..., None]]
    rows = torch.cat([reference, torch.cat(samples, dim=-1).flatten(1)], dim=1)
    return rows.numpy().astype("<i2").tobytes()


def _steps(values: Float[Tensor, "*shape"], steps: int) -> Tensor:
    return (values * steps).round().clamp(-WEIGHT_STEPS, WEIGHT_STEPS).long()
