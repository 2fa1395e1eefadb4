"""The CUDA kernels against the specification: inputs, and a comparison that the simulator and a GPU both go through.

A *runner* is called as `runner(case, kernel, dtype)` and returns the output and the gradients of value, locations and
weights, as float64 arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from defdetr_ref.ops import loops

POINT, ROW, COLUMN = (1, 1), (1, 6), (5, 1)  # levels of a single pixel, row, column


@dataclass(frozen=True)
class Case:
    """Inputs in float64: value (N, S, M, D), locations (N, Q, M, L, K, 2), weights (N, Q, M, L, K).

    cotangent: (N, Q, M·D), the gradient of the output
    """

    shapes: list[tuple[int, int]]
    value: np.ndarray
    locations: np.ndarray
    weights: np.ndarray
    cotangent: np.ndarray


def random_case(batch, queries, heads, channels, points, shapes, seed=0, spread=0.4) -> Case:
    """Locations around the middle of the map, some outside. queries=None: as many as tokens, like an encoder."""
    rng = np.random.default_rng(seed)
    tokens = sum(height * width for height, width in shapes)
    queries = tokens if queries is None else queries
    weights = rng.random((batch, queries, heads, len(shapes), points))
    return Case(
        shapes,
        rng.normal(size=(batch, tokens, heads, channels)),
        rng.normal(0.5, spread, size=(*weights.shape, 2)),
        weights,
        rng.normal(size=(batch, queries, heads * channels)),
    )


def border_case(channels: int, far: float = 1e30) -> Case:
    """Every pair of interesting places in x and y, one query each, on a 4×8 map; a second image shifted by one query.

    The sides are powers of two, so that pixel centres and borders are exact numbers in every precision.
    """
    height, width = 4, 8
    beside = 2.0**-8  # a little inside or outside, in pixels

    def places(size: int) -> list[float]:
        first = [-1.5, -1, -1 + beside, -0.5, -beside, 0, 1, 1.5]
        pixels = first + [size - 1, size - 0.5, size - beside, size, size + 2]
        return [(pixel + 0.5) / size for pixel in pixels] + [np.nan, np.inf, -np.inf, far, -far]

    xs, ys = places(width), places(height)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)  # (Q, 2)
    case = random_case(2, len(grid), 1, channels, 1, [(height, width)])
    case.locations[:, :, 0, 0, 0] = np.stack([grid, np.roll(grid, 1, axis=0)])
    return case


def away_from_kinks(case: Case) -> Case:
    """Locations at least 1/1000 pixel off whole pixels: rounding to float32 then moves none into another cell."""
    sides = np.array([(width, height) for height, width in case.shapes])[:, None]  # (L, 1, 2)
    pixels = case.locations * sides - 0.5
    cell = np.floor(pixels)
    return replace(case, locations=(cell + np.clip(pixels - cell, 1e-3, 1 - 1e-3) + 0.5) / sides)


def rounded(case: Case, dtype: str) -> Case:
    """The numbers that the kernels see: 16-bit values and cotangents beside float32 locations and weights."""
    real = np.float64 if dtype == "float64" else np.float32
    narrow = {"float16": lambda x: x.astype(np.float16), "bfloat16": to_bfloat16}.get(dtype, lambda x: x.astype(real))
    arrays = narrow(case.value), case.locations.astype(real), case.weights.astype(real), narrow(case.cotangent)
    return Case(case.shapes, *(array.astype(np.float64) for array in arrays))


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    """float32 numbers with the lower half of their bits cut off: exact in bfloat16."""
    return (array.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


# The error allowed in sums, relative to the largest number of an array, and that of a number rounded to 16 bits.
SUMS = {"float64": 1e-14, "float32": 2e-6, "float16": 2e-6, "bfloat16": 2e-6}
ROUNDING = {"float64": 0, "float32": 0, "float16": 2**-11, "bfloat16": 2**-8}
NAMES = ("output", "grad_value", "grad_locations", "grad_weights")


def compare(
    runner: Callable, case: Case, kernel: str, dtype: str, expected=None, slack: float = 1.0, narrow=("output",)
) -> None:
    """AssertionError, naming the array, unless the runner gives what the specification gives.

    expected: from elsewhere than the loops, which take long for a large case
    slack: a factor on the error of sums
    narrow: the arrays that are rounded to `dtype` after they were summed
    """
    case = rounded(case, dtype)
    actual = runner(case, kernel, dtype)
    for name, one, other in zip(NAMES, actual, expected or specification(case), strict=True):
        assert one.shape == other.shape, f"{name} has shape {one.shape}, not {other.shape}"
        sums = slack * SUMS[dtype] * max(np.abs(other).max(initial=0), 1)
        error = np.abs(one - other)
        beyond = error - (ROUNDING[dtype] * np.abs(other) if name in narrow else 0)
        worst = beyond.max(initial=0)
        assert worst <= sums, (
            f"{name} of the {kernel} kernel in {dtype} is {error.max():.2e} off, {worst:.2e} beyond its rounding, "
            f"not {sums:.2e}"
        )


def specification(case: Case) -> tuple[np.ndarray, ...]:
    inputs = case.value, case.shapes, case.locations, case.weights
    with np.errstate(invalid="ignore"):  # inf - inf of wild locations, which read nothing
        return loops.forward(*inputs), *loops.backward(case.cotangent, *inputs)
