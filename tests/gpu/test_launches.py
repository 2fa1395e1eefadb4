"""Launches on a GPU: streams, graphs, sizes beyond 32 bits, and NVIDIA's checkers of memory and races."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import defdetr_cuda
import numpy as np
import pytest
import torch

from tests.cuda_kernels.comparison import away_from_kinks, random_case
from tests.gpu.machine import encoder_case, needs_gpu, tensors_of

pytestmark = needs_gpu
KERNELS = pytest.mark.parametrize("kernel", ["textbook", "fast"])
LEVELS = [(25, 34), (13, 17), (7, 9)]


def forward_and_backward(kernel, case, value, locations, weights, cotangent):
    output = defdetr_cuda.forward(value, case.shapes, locations, weights, kernel=kernel)
    return output, *defdetr_cuda.backward(cotangent, value, case.shapes, locations, weights, kernel=kernel)


def assert_equal_but_for_the_order_of_sums(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@KERNELS
def test_a_captured_graph_replays_with_new_numbers(kernel):
    case, other = (away_from_kinks(encoder_case(LEVELS, batch=2, seed=seed)) for seed in (0, 1))
    inputs, others = list(tensors_of(case, "float32")), tensors_of(other, "float32")
    run = functools.partial(forward_and_backward, kernel, case)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run(*inputs)  # compiles
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run(*inputs)
    expected = run(*others)
    for tensor, new in zip(inputs, others, strict=True):
        tensor.copy_(new)
    graph.replay()
    torch.cuda.synchronize()
    assert_equal_but_for_the_order_of_sums(captured, expected)


@KERNELS
def test_two_streams_at_once(kernel):
    """Each stream fills its inputs late, after a long computation: a launch on another stream would see zeros."""
    cases = [away_from_kinks(encoder_case(LEVELS, batch=2, seed=seed)) for seed in (0, 1)]
    ready = [tensors_of(case, "float32") for case in cases]
    expected = [forward_and_backward(kernel, case, *tensors) for case, tensors in zip(cases, ready, strict=True)]
    late = [[torch.zeros_like(tensor) for tensor in tensors] for tensors in ready]
    streams, results = [torch.cuda.Stream() for _ in cases], []
    for stream, case, tensors in zip(streams, cases, ready, strict=True):
        with torch.cuda.stream(stream):
            forward_and_backward(kernel, case, *tensors)  # leaves memory with the stream: asking for more may wait
    torch.cuda.synchronize()
    for stream, case, tensors, empty in zip(streams, cases, ready, late, strict=True):
        with torch.cuda.stream(stream):
            torch.cuda._sleep(200_000_000)  # clock ticks, about a tenth of a second
            for target, tensor in zip(empty, tensors, strict=True):
                target.copy_(tensor)
            results.append(forward_and_backward(kernel, case, *empty))
    assert not streams[0].query(), "the calls waited for the GPU"
    torch.cuda.synchronize()
    for actual, other in zip(results, expected, strict=True):
        assert_equal_but_for_the_order_of_sums(actual, other)


@KERNELS
@pytest.mark.parametrize("images", [1, 3], ids=["a large image", "large images"])
def test_values_beyond_two_gibibytes(kernel, images):
    """Each image has 2³⁰ bytes or more; the last one must give what it gives alone."""
    height, width = (1400, 1600) if images == 1 else (1024, 1024)
    bytes_of_value = images * height * width * 8 * 32 * 4
    assert bytes_of_value > 2**31
    needed = 5 * bytes_of_value
    if torch.cuda.mem_get_info()[0] < needed:
        pytest.skip(f"needs {needed / 2**30:.0f} GiB of free GPU memory")
    rng = torch.Generator("cuda").manual_seed(0)
    value = torch.randn(images, height * width, 8, 32, device="cuda", generator=rng)
    small = away_from_kinks(random_case(images, 50, 8, 32, 4, [(height, width)], spread=0.3))
    locations, weights = (torch.from_numpy(x).float().cuda() for x in (small.locations, small.weights))
    cotangent = torch.randn(images, 50, 256, device="cuda", generator=rng)
    actual = forward_and_backward(kernel, small, value, locations, weights, cotangent)
    # The lower half of the last image on its own: its offsets are small.
    half = height // 2
    first = half * width
    lower = value[-1:, first:].contiguous()
    scaled = torch.stack([locations[-1:, ..., 0], locations[-1:, ..., 1] * 2 - 1], dim=-1)
    inside = (scaled[..., 1] * half - 0.5 > 0).float()  # points that read nothing of the upper half
    alone = defdetr_cuda.forward(lower, [(half, width)], scaled, weights[-1:] * inside, kernel=kernel)
    whole = defdetr_cuda.forward(value, small.shapes, locations, weights * inside, kernel=kernel)
    torch.testing.assert_close(whole[-1:], alone, rtol=0, atol=0.01)  # 1600 pixels · 2⁻²⁴, times differences of pixels
    # The output is linear in the value: ⟨gradient, value⟩ = ⟨cotangent, output⟩, image by image.
    for image in range(images):
        by_value = (actual[1][image] * value[image]).sum(dtype=torch.float64)
        by_output = (actual[0][image] * cotangent[image]).sum(dtype=torch.float64)
        torch.testing.assert_close(by_value, by_output, rtol=1e-4, atol=0.01)


@KERNELS
def test_more_images_than_a_grid_holds(kernel):
    images = 65535 + 3
    value = torch.arange(images * 8.0, device="cuda").reshape(images, 1, 1, 8) % 4096
    locations = torch.full((images, 1, 1, 1, 1, 2), 0.5, device="cuda")
    weights = torch.full((images, 1, 1, 1, 1), 0.5, device="cuda")
    output = defdetr_cuda.forward(value, [(1, 1)], locations, weights, kernel=kernel)
    assert torch.equal(output.flatten(), value.flatten() / 2)
    gradient = defdetr_cuda.backward(torch.ones_like(output), value, [(1, 1)], locations, weights, kernel=kernel)[0]
    assert (gradient == 0.5).all()


def test_values_that_are_not_aligned_or_not_contiguous():
    case = random_case(2, 5, 3, 8, 2, [(4, 3), (2, 2)])
    value, locations, weights, cotangent = tensors_of(case, "float32")
    expected = forward_and_backward("fast", case, value, locations, weights, cotangent)
    shifted = torch.cat([value.new_zeros(1), value.flatten()])[1:].view(value.shape)
    assert shifted.data_ptr() % 16
    strided = [torch.stack([x, -x], dim=-1)[..., 0] for x in (locations, weights, cotangent)]
    assert_equal_but_for_the_order_of_sums(forward_and_backward("fast", case, shifted, *strided), expected)


def test_no_queries_and_no_launch():
    value, weights = torch.ones(2, 6, 3, 8, device="cuda"), torch.ones(2, 0, 3, 1, 4, device="cuda")
    locations = torch.ones(2, 0, 3, 1, 4, 2, device="cuda")
    assert defdetr_cuda.forward(value, [(2, 3)], locations, weights).shape == (2, 0, 24)
    gradients = defdetr_cuda.backward(value.new_ones(2, 0, 24), value, [(2, 3)], locations, weights)
    assert [x.shape for x in gradients] == [value.shape, locations.shape, weights.shape] and not gradients[0].any()


SANITIZER = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")


@pytest.mark.skipif(SANITIZER is None, reason="compute-sanitizer, NVIDIA's checker, is not installed (CUDA toolkit)")
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_sanitizer_finds_nothing(tool):
    script = Path(__file__).with_name("sanitized.py")
    # Numba asks the driver for functions of newer drivers; what fails and matters is an exception in Python.
    errors = ["--report-api-errors", "no"] if tool == "memcheck" else []
    command = [SANITIZER, "--tool", tool, *errors, "--error-exitcode", "9", sys.executable, str(script)]
    finished = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    report = finished.stdout + finished.stderr
    if "Device not supported" in report:
        pytest.skip("compute-sanitizer does not work on this machine: Device not supported")
    assert finished.returncode == 0 and "both kernels ran" in report, report[-5000:]
    print(*(line for line in report.splitlines() if "SUMMARY" in line))


def test_no_warning_about_small_grids(recwarn):
    value, locations, weights, _ = tensors_of(random_case(1, 2, 1, 8, 1, [(3, 2)]), "float32")
    defdetr_cuda.forward(value, [(3, 2)], locations, weights)
    assert np.all([warning.category.__name__ != "NumbaPerformanceWarning" for warning in recwarn.list])
