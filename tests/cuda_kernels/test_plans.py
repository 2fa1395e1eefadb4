"""Grids, tiles and sizes of launches."""

import pytest
from defdetr_cuda.plans import (
    BLOCK_THREADS,
    Sizes,
    choose_tile,
    divisor_up_to,
    fast_plan,
    sizes_overflow,
    textbook_plan,
)  # fmt: skip

SIZES = Sizes(batch=2, tokens=23, heads=3, channels=8, queries=7, levels=2, points=5)


def test_a_textbook_grid_has_a_thread_for_each_number():
    plan = textbook_plan("forward", "float64", SIZES, (5, 3, 2, 4))
    assert plan.grid == (1, 1) and 7 * 3 * 8 <= plan.threads
    assert textbook_plan("forward", "float64", SIZES._replace(queries=700), (5, 3, 2, 4)).grid == (66, 1)  # 16800 / 256


def test_a_fast_grid_has_tiles_and_heads():
    sequence = fast_plan("forward", "float32", SIZES._replace(queries=50), (5, 3, 2, 4))
    assert sequence.grid == (4, 3) and sequence.threads == 16 * 2  # tiles of 16 queries, 2 lanes
    pixels = fast_plan("forward", "float32", SIZES._replace(queries=23), (5, 3, 2, 4), tile=(2, 2))
    assert pixels.grid == (3 * 2 + 1 * 2, 3) and pixels.threads == 4 * 2


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("lanes", [1, 3, 8, 16, 33, 64])
def test_a_tile_fits_into_a_block(direction, lanes):
    height, width = choose_tile(direction, lanes, by_pixels=True)
    assert 4 <= height * width <= 64 and height * width * lanes <= BLOCK_THREADS[direction]
    assert choose_tile(direction, lanes, by_pixels=False)[0] == 1


def test_rounds_divide_the_points():
    assert [divisor_up_to(points, 8) for points in (1, 16, 20, 21, 17, 40)] == [1, 8, 5, 7, 1, 8]


def test_indices_that_do_not_fit_are_named():
    assert sizes_overflow(SIZES) is None
    assert sizes_overflow(SIZES._replace(tokens=2**31 // 24)) is None
    assert "`value` has S · M · D" in sizes_overflow(SIZES._replace(tokens=2**31 // 24 + 1))
    assert "`output` has Q · M · D" in sizes_overflow(SIZES._replace(queries=2**31 // 24 + 1, points=1, levels=1))
    assert "`sampling_locations` has Q · M · L · K · 2" in sizes_overflow(SIZES._replace(queries=2**31 // 60 + 1))
