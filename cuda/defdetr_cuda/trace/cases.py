"""Small workloads for the simulator, and the package's own kernels on them."""

from dataclasses import dataclass

import numpy as np

from defdetr_cuda.trace.launch import trace
from defdetr_cuda.trace.trace import Trace


@dataclass(frozen=True)
class Case:
    """Arrays of one call of the operator, float32."""

    shapes: list[tuple[int, int]]
    value: np.ndarray  # (N, S, M, D)
    locations: np.ndarray  # (N, Q, M, L, K, 2)
    weights: np.ndarray  # (N, Q, M, L, K)
    grad_output: np.ndarray  # (N, Q, M·D)

    @property
    def scalars(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """`sizes` and `shapes`, as the kernels get them."""
        _, tokens, heads, channels = self.value.shape
        queries, _, levels, points = self.weights.shape[1:]
        sides = tuple(side for shape in self.shapes for side in shape)
        return (tokens, heads, channels, queries, levels, points), sides

    def blocks(self, threads: int) -> tuple[int, int, int]:
        """The grid, if a thread is one (query, head, channel)."""
        batch, queries, numbers = self.grad_output.shape
        return -(-queries * numbers // threads), 1, batch

    def __str__(self) -> str:
        _, heads, channels, queries, _, points = self.scalars[0]
        return f"levels {self.shapes} (H, W), N={len(self.value)}, Q={queries}, M={heads}, D={channels}, K={points}"


def random_case(batch: int, queries: int, heads: int, channels: int, points: int, shapes: list, seed: int) -> Case:
    """Locations inside, at the borders and outside."""
    rng = np.random.default_rng(seed)
    locations = rng.uniform(-0.3, 1.3, (batch, queries, heads, len(shapes), points, 2))
    return _case(rng, shapes, channels, locations)


def encoder_case(heads: int, channels: int, points: int, shapes: list, seed: int, offset_pixels: float = 1.0) -> Case:
    """One image whose queries are its tokens: each samples around its own place, as in an encoder."""
    rng = np.random.default_rng(seed)
    centres = [((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height) for height, width in shapes]
    grids = [np.meshgrid(*axes) for axes in centres]
    places = np.concatenate([np.stack(grid, -1).reshape(-1, 2) for grid in grids])  # (S, 2)
    sides = np.array([(width, height) for height, width in shapes])[:, None]  # (L, 1, 2)
    offsets = offset_pixels * rng.normal(size=(1, len(places), heads, len(shapes), points, 2)) / sides
    return _case(rng, shapes, channels, places[None, :, None, None, None] + offsets)


def _case(rng: np.random.Generator, shapes: list, channels: int, locations: np.ndarray) -> Case:
    batch, queries, heads = locations.shape[:3]
    tokens = sum(height * width for height, width in shapes)
    arrays = (
        rng.normal(size=(batch, tokens, heads, channels)),
        locations,
        rng.uniform(0.2, 1, locations.shape[:-1]),
        rng.normal(size=(batch, queries, heads * channels)),
    )
    return Case(shapes, *(array.astype(np.float32) for array in arrays))


def trace_package(direction: str, kernel: str, case: Case, **options) -> tuple[Trace, list[np.ndarray]]:
    """The package's "textbook" or "fast" kernel, "forward" or "backward": its trace, and the results.

    options: of the fast kernel, as in `defdetr_cuda.plans.fast_plan`
    Raises RuntimeError if Numba was imported without NUMBA_ENABLE_CUDASIM=1: the kernels then have their GPU form.
    """
    from numba import config, int32

    from defdetr_cuda import plans, simulator

    if not config.ENABLE_CUDASIM:
        raise RuntimeError("the simulator is off; set NUMBA_ENABLE_CUDASIM=1 before Numba is imported")
    make = {"textbook": plans.textbook_plan, "fast": plans.fast_plan}[kernel]
    plan = make(direction, "float32", simulator.sizes_of(case.value, case.weights), case.scalars[1], **options)
    given = [case.value, case.locations, case.weights]
    if direction == "forward":
        results = [np.zeros_like(case.grad_output)]
    else:
        results, given = [np.zeros_like(array) for array in given], [case.grad_output, *given]
    scalars = [tuple(int32(number) for number in group) for group in plan.scalars]
    flat = [array.reshape(-1) for array in (*given, *results)]
    return trace(plan.kernel, (*plan.grid, len(case.value)), plan.threads, *flat, *scalars), results
