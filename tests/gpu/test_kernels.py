"""Both kernels on a GPU, by the comparison that the simulator goes through, and at real sizes."""

import numpy as np
import pytest

from tests.cuda_kernels.comparison import (
    COLUMN,
    POINT,
    ROW,
    away_from_kinks,
    border_case,
    compare,
    random_case,
    rounded,
)  # fmt: skip
from tests.gpu.machine import by_grid_sample, encoder_case, needs_gpu, on_gpu

pytestmark = needs_gpu
LEVELS = [(100, 134), (50, 67), (25, 34), (13, 17)]  # an image of 800×1066
# (batch, queries, heads, channels, points) and the levels
SMALL = [
    ((2, 5, 8, 1, 4), [(4, 7), POINT, (2, 3)]),
    ((1, 7, 2, 3, 4), [(5, 3), (2, 4), ROW, COLUMN, POINT]),
    ((3, 1, 7, 8, 5), [ROW, (3, 2)]),
    ((2, 6, 3, 17, 8), [(5, 4)]),
    ((1, None, 6, 32, 7), [(9, 8), COLUMN, (2, 1)]),
    ((3, 9, 1, 64, 2), [(6, 5), (3, 4), POINT, ROW]),
    ((1, 5, 4, 71, 6), [POINT, (4, 3)]),
    ((2, 3, 5, 256, 1), [(4, 2), (2, 4), COLUMN, POINT]),
    ((3, 0, 2, 16, 5), [(4, 3), (2, 2), ROW, POINT]),
    ((2, None, 4, 24, 3), [(19, 21), (4, 9)]),
]
FAST_DTYPES = ("float32", "float16", "bfloat16")
PAIRS = [("textbook", "float64"), ("textbook", "float32"), *(("fast", dtype) for dtype in FAST_DTYPES)]
NARROW = ("output", "grad_value")  # a gradient of 16-bit values is summed in float32 and returned in 16 bits
BOTH = pytest.mark.parametrize("kernel, dtype", PAIRS)


@BOTH
@pytest.mark.parametrize("counts, shapes", SMALL)
def test_small_shapes(counts, shapes, kernel, dtype):
    together = {"float32": 4, "float64": 1}.get(dtype, 8)
    if kernel == "fast" and counts[3] % together:
        pytest.skip(f"the fast kernel takes multiples of {together} channels")
    compare(on_gpu, random_case(*counts, shapes), kernel, dtype, narrow=NARROW)


@BOTH
def test_borders_pixel_centres_and_wild_locations(kernel, dtype):
    compare(on_gpu, border_case(channels=8), kernel, dtype, narrow=NARROW)


# A location in float32 is off by up to 134 pixels · 2⁻²⁴, and a sample by as much of the difference of its pixels. In
# float64 grid_sample's own locations are off by a few times 134 pixels · 2⁻⁵³ (on a CPU, too, it is 0.8e-14 away).
LARGE_MAP = {"float64": 3, "float32": 50, "float16": 50, "bfloat16": 50}


@BOTH
@pytest.mark.parametrize("queries", ["encoder", "decoder"])
def test_real_sizes(queries, kernel, dtype):
    case = encoder_case(LEVELS) if queries == "encoder" else random_case(2, 300, 8, 32, 4, LEVELS, spread=0.2)
    case = away_from_kinks(case)
    expected = by_grid_sample(rounded(case, dtype))
    compare(on_gpu, case, kernel, dtype, expected, slack=LARGE_MAP[dtype], narrow=NARROW)


@pytest.mark.parametrize("dtype, digits", [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_sixteen_bits_against_float64(dtype, digits):
    """All that 16 bits cost, the rounding of the values too: an output is a mean of values, their weights add to 1."""
    case = away_from_kinks(encoder_case(LEVELS))
    output = on_gpu(case, "fast", dtype)[0]
    error = np.abs(output - by_grid_sample(case)[0]).max()
    assert error <= 2.1 * digits * np.abs(case.value).max(), "one rounding of the values, one of the output"
