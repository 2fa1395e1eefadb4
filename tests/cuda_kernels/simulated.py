"""The kernels on Numba's simulator. `test_simulator.py` runs this file in a process of its own: the simulator replaces
the compiler in the whole process, and is chosen when Numba is imported."""

import numpy as np
import pytest
import torch
from defdetr_cuda import launch, plans, simulator

from tests.cuda_kernels.comparison import COLUMN, POINT, ROW, Case, border_case, compare, random_case

# (batch, queries, heads, channels, points) and the levels. Every thread is a Python thread: tiny sizes only.
TEXTBOOK = [
    ((2, 3, 2, 1, 4), [(3, 2), POINT]),
    ((1, 2, 8, 3, 1), [(2, 3), ROW, COLUMN, POINT, (2, 2)]),
    ((3, 1, 1, 8, 5), [ROW, (3, 2)]),
    ((2, 1, 3, 17, 2), [(5, 4)]),
    ((2, 2, 1, 32, 1), [(3, 4), COLUMN, (2, 1)]),
    ((1, 1, 4, 71, 1), [POINT, (4, 3)]),
    ((1, 1, 1, 5, 8), [(4, 3)]),
    ((3, 0, 2, 3, 2), [(4, 3), (2, 2)]),  # no query
]
# The same, with a tile of queries (None: the one a GPU would get) and dtypes that have so many channels together.
FAST = [
    ((2, None, 3, 4, 1), [(4, 3), POINT], (2, 2), "float32"),  # None: queries are pixels
    ((1, None, 2, 8, 3), [(3, 4), (1, 2)], (2, 4), "float32"),
    ((3, 5, 1, 8, 4), [(4, 3), COLUMN], (1, 2), "float32"),
    ((1, 1, 5, 12, 1), [(2, 3), ROW, COLUMN, POINT, (2, 2)], (1, 4), "float32"),
    ((1, 3, 1, 32, 7), [(4, 5), (2, 3), POINT], (1, 2), "float32"),  # 21 points: rounds of 7 and of 3
    ((1, 2, 2, 64, 1), [(4, 3)], (1, 1), "float32"),
    ((2, 18, 1, 4, 8), [(3, 2)], None, "float32"),  # more queries than a block takes
    ((1, None, 1, 4, 1), [(9, 10), (3, 2)], None, "float32"),  # levels of several tiles
    ((3, 0, 2, 8, 5), [(4, 3), (2, 2)], None, "float32"),
    ((2, None, 1, 8, 2), [(4, 3), POINT], (2, 2), "float16"),
    ((2, 3, 2, 16, 4), [(3, 5), ROW], (1, 2), "float16"),
    ((2, None, 1, 8, 2), [(3, 4), POINT], (2, 2), "bfloat16"),
    ((1, 3, 2, 24, 3), [(3, 5), ROW, COLUMN, (2, 2)], (1, 2), "bfloat16"),
]
NUMPY = {"float64": np.float64, "float32": np.float32, "float16": np.float16}


def stored(array: np.ndarray, dtype: str) -> np.ndarray:
    """As the kernels keep it; bfloat16, unknown to NumPy, as its bits."""
    if dtype == "bfloat16":
        return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return array.astype(NUMPY[dtype])


def read(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16" and array.dtype == np.uint16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float64)


def simulated(case: Case, kernel: str, dtype: str, **options) -> list[np.ndarray]:
    real = np.float64 if dtype == "float64" else np.float32
    value, cotangent = stored(case.value, dtype), stored(case.cotangent, dtype)
    points = case.locations.astype(real), case.weights.astype(real)
    options = {"kernel": kernel, "dtype": dtype, **options}
    output = simulator.forward(value, case.shapes, *points, **options)
    gradients = simulator.backward(cotangent, value, case.shapes, *points, **options)
    return [read(array, dtype) for array in (output, *gradients)]


def with_tile(tile, **options):
    return lambda case, kernel, dtype: simulated(case, kernel, dtype, tile=tile, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("counts, shapes", TEXTBOOK)
def test_textbook(counts, shapes, dtype):
    compare(simulated, random_case(*counts, shapes), "textbook", dtype)


@pytest.mark.parametrize("counts, shapes, tile, dtype", FAST)
def test_fast(counts, shapes, tile, dtype):
    compare(with_tile(tile), random_case(*counts, shapes), "fast", dtype)


def test_fast_without_vector_reductions():
    case = random_case(2, 3, 2, 8, 2, [(3, 2), ROW])
    compare(with_tile((1, 2), vector_reductions=False), case, "fast", "float32")


@pytest.mark.parametrize("kernel, dtype, channels", [("textbook", "float64", 1), ("fast", "float32", 4)])
def test_borders_pixel_centres_and_wild_locations(kernel, dtype, channels):
    compare(simulated, border_case(channels), kernel, dtype)


@pytest.mark.parametrize("kernel", ["textbook", "fast"])
def test_more_images_than_a_grid_holds(kernel, monkeypatch):
    monkeypatch.setattr(simulator, "MAX_IMAGES", 2)
    options = {} if kernel == "textbook" else {"tile": (1, 2)}
    run = lambda case, kernel, dtype: simulated(case, kernel, dtype, **options)  # noqa: E731
    compare(run, random_case(5, 2, 1, 4, 1, [(3, 2)]), kernel, "float32")


def test_a_read_outside_an_array_is_noticed():
    """The other tests rest on this: the simulator's loads check their bounds."""
    case = random_case(1, 2, 1, 4, 1, [(3, 2)])
    plan = plans.fast_plan("forward", "float32", simulator.sizes_of(case.value, case.weights), (3, 2), tile=(1, 2))
    value, points = case.value.astype(np.float32), [x.astype(np.float32) for x in (case.locations, case.weights)]
    with pytest.raises(IndexError, match="of an array of"):
        simulator.simulate(plan, 1, [value[:, :1], *points, np.zeros((1, 2, 4), np.float32)])


@pytest.mark.parametrize("kernel, dtype, channels", [("textbook", "float64", 3), ("textbook", "bfloat16", 3),
                                                     ("fast", "float32", 4), ("fast", "bfloat16", 8)])  # fmt: skip
def test_torch_tensors_in_and_out(kernel, dtype, channels, monkeypatch):
    """`launch.py` but for the launch itself: which arrays, of which dtypes, in which order."""

    def on_the_simulator(plan, batch, arrays):
        bits = (array.view(torch.uint16) if array.element_size() == 2 else array for array in arrays)
        simulator.simulate(plan, batch, [array.numpy() for array in bits])  # these share the tensors' memory

    monkeypatch.setattr(launch, "_launch", on_the_simulator)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))

    def runner(case, kernel, dtype):
        real, narrow = torch.float64 if dtype == "float64" else torch.float32, getattr(torch, dtype)
        value, cotangent = (torch.from_numpy(x).to(narrow) for x in (case.value, case.cotangent))
        points = [torch.from_numpy(x).to(real) for x in (case.locations, case.weights)]
        output = launch.forward(value, case.shapes, *points, kernel=kernel)
        gradients = launch.backward(cotangent, value, case.shapes, *points, kernel=kernel)
        assert [x.dtype for x in (output, *gradients)] == [narrow, narrow, real, real]
        # The sums of a gradient are compared elsewhere; here it has been rounded like the output.
        return [x.double().numpy() for x in (output, *gradients)]

    slack = 1 if dtype != "bfloat16" else 2**-8 / 2e-6
    compare(runner, random_case(2, 3, 2, channels, 2, [(3, 2), POINT]), kernel, dtype, slack=slack)
