"""The kernels on Numba's simulator: NumPy arrays in and out, no GPU, a few thousand threads a second.

Set NUMBA_ENABLE_CUDASIM=1 before Numba is imported. Meant for lessons and tests, on tiny sizes.
"""

import numpy as np

from defdetr_cuda.limits import MAX_IMAGES
from defdetr_cuda.plans import Plan, Sizes, fast_plan, textbook_plan


def sizes_of(value: np.ndarray, weights: np.ndarray) -> Sizes:
    batch, tokens, heads, channels = value.shape
    return Sizes(batch, tokens, heads, channels, weights.shape[1], weights.shape[3], weights.shape[4])


def _flat_shapes(spatial_shapes) -> tuple[int, ...]:
    return tuple(int(side) for shape in spatial_shapes for side in shape)


def simulate(plan: Plan, batch: int, arrays: list[np.ndarray]) -> None:
    """Run the kernel on C-ordered arrays whose first axis counts images; it writes into those that are its results."""
    from numba import config, cuda, int32

    if not config.ENABLE_CUDASIM:
        raise RuntimeError("the simulator is off; set NUMBA_ENABLE_CUDASIM=1 before Numba is imported")
    scalars = [tuple(int32(number) for number in group) for group in plan.scalars]
    kernel = cuda.jit(plan.kernel)
    for first in range(0, batch, MAX_IMAGES):
        images = slice(first, first + MAX_IMAGES)
        grid = (*plan.grid, len(arrays[0][images]))
        if all(grid):
            kernel[grid, plan.threads](*(array[images].reshape(-1) for array in arrays), *scalars)


def forward(value, spatial_shapes, locations, weights, *, kernel="textbook", **options) -> np.ndarray:
    """value (N, S, M, D), locations (N, Q, M, L, K, 2), weights (N, Q, M, L, K) → (N, Q, M·D), in the dtype of `value`.

    kernel: "textbook" or "fast"; `options` of the fast one as in `fast_plan`, and `dtype="bfloat16"` for values that
        are the bits of bfloat16 in uint16, because NumPy has no such numbers
    """
    sizes = sizes_of(value, weights)
    plan = _plan("forward", kernel, value, sizes, spatial_shapes, options)
    output = np.zeros((sizes.batch, sizes.queries, sizes.heads * sizes.channels), value.dtype)
    arrays = [_bits(value), locations, weights, _bits(output)]
    simulate(plan, sizes.batch, arrays)
    return output


def backward(grad_output, value, spatial_shapes, locations, weights, *, kernel="textbook", **options):
    """Gradients with respect to value, locations and weights; that of a 16-bit value in float32. As `forward`."""
    plan = _plan("backward", kernel, value, sizes_of(value, weights), spatial_shapes, options)
    gradients = [np.zeros(array.shape, locations.dtype) for array in (value, locations, weights)]
    simulate(plan, len(value), [_bits(grad_output), _bits(value), locations, weights, *gradients])
    return tuple(gradients)


def _plan(direction, kernel, value, sizes, spatial_shapes, options) -> Plan:
    shapes, options = _flat_shapes(spatial_shapes), dict(options)
    dtype = options.pop("dtype", value.dtype.name)
    if kernel == "textbook":
        return textbook_plan(direction, dtype, sizes, shapes, **options)
    return fast_plan(direction, dtype, sizes, shapes, **options)


def _bits(array: np.ndarray) -> np.ndarray:
    """The kernels read 16-bit numbers as their bits."""
    return array.view(np.uint16) if array.itemsize == 2 else array
