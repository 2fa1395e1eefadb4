"""A made-up record, and what was drawn of it."""

import torch

from defdetr_ref.explain import AttentionRecord

BATCH, QUERIES, HEADS, LEVELS, POINTS = 2, 7, 3, 2, 5


SHAPES = ((4, 6), (2, 3))


TOKENS = sum(height * width for height, width in SHAPES)


HEIGHT, WIDTH = 40, 60


def a_record(part: str, layer: int, queries: int, reference_size: int, seed: int = 0) -> AttentionRecord:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(BATCH, queries, HEADS, LEVELS * POINTS, generator=generator)
    return AttentionRecord(
        name=f"{part}.layers.{layer}.attention",
        part=part,
        layer=layer,
        reference_points=torch.rand(BATCH, queries, 1, reference_size, generator=generator).repeat(1, 1, LEVELS, 1),
        sampling_locations=1.2 * torch.rand(BATCH, queries, HEADS, LEVELS, POINTS, 2, generator=generator) - 0.1,
        attention_weights=logits.softmax(-1).unflatten(-1, (LEVELS, POINTS)),
        spatial_shapes=SHAPES,
    )


def artists(ax, gid: str) -> list:
    return [artist for artist in (*ax.collections, *ax.patches, *ax.lines, *ax.images) if artist.get_gid() == gid]


def corners(patch) -> list[float]:
    """xyxy of a drawn box."""
    (left, top), width, height = patch.get_xy(), patch.get_width(), patch.get_height()
    return [left, top, left + width, top + height]
