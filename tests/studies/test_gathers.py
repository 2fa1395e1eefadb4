"""Addresses, lines and the simulated cache, against small cases worked out by hand."""

import numpy as np
import pytest
import torch

from defdetr_ref.ops import ms_deform_attn
from defdetr_ref.studies.counting import Workload
from defdetr_ref.studies.gathers import (
    LINE_BYTES,
    PATTERNS,
    WARP,
    convolution_lines,
    corner_tokens,
    hit_rate,
    lines_touched,
    operator_lines,
    query_tiles,
    sampling_pattern,
    warp_lines,
    warp_of_channels,
    warp_of_queries,
)

SHAPES = [(2, 3), (1, 2)]  # tokens 0-5 and 6-7
SMALL = Workload(side=64, d_model=96, num_heads=3, num_points=2, strides=(8, 16))


def points(*places):
    """One query and head, one point on each level."""
    return torch.tensor(places, dtype=torch.float64).view(1, 1, 1, len(places), 1, 2).float()


def test_the_corners_of_a_point():
    middle = points((1 / 3, 0.5), (0.5, 0.5))  # between pixels (0, 0) … (1, 1) of the first level; on the second's row
    assert corner_tokens(middle, SHAPES).flatten().tolist() == [0, 1, 3, 4, 6, 7, -1, -1]
    outside = points((0.0, 0.0), (2.0, 0.5))
    assert corner_tokens(outside, SHAPES).flatten().tolist() == [-1, -1, -1, 0, -1, -1, -1, -1]


def test_the_corners_are_the_tokens_that_the_operator_reads():
    locations = torch.rand(1, 5, 2, 2, 3, 2, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2
    value = torch.eye(8)[None, :, None].expand(1, 8, 2, 8)  # token s is 1 in channel s
    for head in range(2):
        weights = torch.zeros(1, 5, 2, 2, 3)
        weights[:, :, head, 1, 2] = 1.0
        read = ms_deform_attn(value, SHAPES, locations, weights).view(5, 2, 8)[:, head]
        listed = corner_tokens(locations, SHAPES)[0, :, head, 1, 2]
        for query in range(5):
            assert set(read[query].nonzero().flatten().tolist()) == {t for t in listed[query].tolist() if t >= 0}


def test_lines_of_a_warp():
    side_by_side = 4 * torch.arange(WARP)
    assert lines_touched(side_by_side).item() == 1
    assert lines_touched(side_by_side + 64).item() == 2  # half of it lies in the next line
    assert lines_touched(LINE_BYTES * torch.arange(WARP)).item() == WARP
    assert lines_touched(torch.full((WARP,), -1)).item() == 0
    some = torch.full((2, WARP), -1)
    some[0, 3], some[0, 7], some[1, 0], some[1, 1] = 0, 127, 256, 128
    assert lines_touched(some).tolist() == [1, 2]


def test_threads_that_are_queries_read_planes():
    tokens = torch.arange(70)
    tokens[3] = -1
    addresses = warp_of_queries(tokens)
    assert addresses.shape == (2, WARP)  # the last 6 queries fill no warp
    assert addresses[0, 3] == -1 and addresses[1, 5] == 4 * 37


def test_threads_that_are_channels_read_one_token():
    addresses = warp_of_channels(torch.tensor([2, -1]), SMALL)
    assert addresses.shape == (2, WARP) and addresses[0, 1] - addresses[0, 0] == 4
    assert addresses[0, 0] == 2 * 96 * 4 and (addresses[1] == -1).all()


def test_patterns_have_the_same_points_in_another_order():
    own, shuffled, random = (sampling_pattern(SMALL, pattern) for pattern in PATTERNS)
    assert own.shape == shuffled.shape == random.shape == (1, 80, 3, 2, 2, 2)
    assert torch.equal(own.flatten(2)[0].sort(0).values, shuffled.flatten(2)[0].sort(0).values)
    assert not torch.equal(own, shuffled)
    assert all(0 <= pattern.min() and pattern.max() <= 1 for pattern in (own, shuffled, random))
    centre = own[0, 8 * 2 + 3].flatten(0, 2).mean(0)  # pixel (x 3, y 2) of the 8×8 level
    np.testing.assert_allclose(centre, [3.5 / 8, 2.5 / 8], atol=0.35)
    with pytest.raises(ValueError, match="unknown pattern 'star'; choose from own, shuffled, random"):
        sampling_pattern(SMALL, "star")


def test_disorder_touches_more_lines():
    found = warp_lines(Workload(256))
    assert found["convolution, planes"] == 1
    assert 1 < found["own, planes"] < found["shuffled, planes"]
    assert found["random, planes"] > 16
    assert {found[f"{pattern}, channels last"] for pattern in PATTERNS} == {1}


def test_the_cache_forgets_what_was_not_used_for_longest():
    assert hit_rate([1, 2, 1, 3, 1, 2], capacity=2) == pytest.approx(2 / 6)  # 2 was forgotten for 3, 1 was not
    assert hit_rate([1, 2, 1, 3, 1, 2], capacity=3) == pytest.approx(3 / 6)
    with pytest.raises(ValueError, match="no reads"):
        hit_rate([], capacity=2)


def test_the_operator_reads_a_line_for_each_corner_and_head():
    locations = torch.full((1, 80, 3, 2, 2, 2), 0.5)
    lines = operator_lines(locations, SMALL)
    assert len(lines) == 80 * 3 * 2 * 2 * 4
    tokens = (27, 28, 35, 36)  # around the middle of the 8×8 level
    assert lines[:4] == [token * 3 for token in tokens]
    assert lines[16:20] == [token * 3 + 1 for token in tokens]  # the next head
    with pytest.raises(ValueError, match="16 channels, 64 bytes; expected 128"):
        operator_lines(locations, Workload(64, d_model=48, num_heads=3, num_points=2, strides=(8, 16)))


def test_in_tiles_a_head_is_read_for_a_square_of_queries():
    work = Workload(side=40, d_model=64, num_heads=2, num_points=1, strides=(8, 16))  # 5×5 and 3×3
    tiles = query_tiles(work, 4)
    assert [len(tile) for tile in tiles] == [16, 4, 4, 1, 9] and sorted(torch.cat(tiles).tolist()) == list(range(34))
    assert tiles[1].tolist() == [4, 9, 14, 19] and tiles[4].tolist() == list(range(25, 34))
    locations = sampling_pattern(work, "own")
    ordered, tiled = operator_lines(locations, work), operator_lines(locations, work, tile=4)
    assert sorted(ordered) == sorted(tiled) and ordered != tiled
    first_tile = corner_tokens(locations, work.spatial_shapes)[0, tiles[0], 0].flatten()
    assert tiled[: int((first_tile >= 0).sum())] == (first_tile[first_tile >= 0] * 2).tolist()  # head 0 alone


def test_the_convolution_reads_its_window():
    work = Workload(side=16, strides=(8, 16))  # 2×2 and 1×1
    assert convolution_lines(work, 3) == [0, 1, 2, 3] * 4 + [4]
