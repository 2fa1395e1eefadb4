"""Counts of the package's own kernels. `test_package_kernels.py` runs this in a process whose Numba simulates."""

import numpy as np
from defdetr_cuda.trace import random_case, trace_package

from defdetr_ref.ops import loops

CASE = random_case(2, 3, 2, 8, 2, [(3, 4), (2, 1)], seed=0)
POINTS = CASE.weights.size
CORNERS = sum(
    len(list(loops.corners(float(u * width - 0.5), float(v * height - 0.5), height, width)))
    for level, (height, width) in enumerate(CASE.shapes)
    for u, v in CASE.locations[:, :, :, level].reshape(-1, 2)
)

expected = loops.forward(CASE.value, CASE.shapes, CASE.locations, CASE.weights)
textbook, (output,) = trace_package("forward", "textbook", CASE)
np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
assert len(textbook.select("read", "locations")) == 8 * 2 * POINTS  # each channel, x and y
assert len(textbook.select("read", "value")) == 8 * CORNERS

fast, (output,) = trace_package("forward", "fast", CASE)
np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
assert len(fast.select("read", "locations")) == POINTS  # x and y by one load
assert {len(access.values) for access in fast.select("read", "locations")} == {2}
assert len(fast.select("read", "value")) == 2 * 4 * POINTS  # two lanes, four corners
assert {len(access.values) for access in fast.select("read", "value")} == {4}
assert not fast.races() and not fast.uneven_barriers()

expected = loops.backward(CASE.grad_output, CASE.value, CASE.shapes, CASE.locations, CASE.weights)
for kernel in ("textbook", "fast"):
    seen, gradients = trace_package("backward", kernel, CASE)
    for gradient, right in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, right, rtol=1e-3, atol=1e-4)
    assert not seen.races()
    atomics = len(seen.select("atomic", "grad_value"))
    assert atomics == (8 if kernel == "textbook" else 2) * CORNERS
    assert bool(seen.select("atomic", "grad_weights")) == (kernel == "textbook")
    assert not seen.select("read", "grad_value"), "half of an atomic was taken for a read"
