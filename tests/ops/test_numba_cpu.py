"""What stands between tensors and the compiled kernels: orders, sizes, threads and memory."""

import threading

import numpy as np
import pytest
import torch

from defdetr_ref.ops import ms_deform_attn, numba_cpu
from tests.ops.cases import SHAPES, assert_all_close, make_inputs, run


def test_queries_of_an_encoder_are_taken_tile_by_tile():
    shapes, tile = ((37, 21), (2, 19)), numba_cpu.TILE
    expected, start = [], 0
    for height, width in shapes:
        places = [(row // tile, column // tile, row, column) for row in range(height) for column in range(width)]
        expected += [start + row * width + column for _, _, row, column in sorted(places)]
        start += height * width
    assert numba_cpu.query_order(shapes, start).tolist() == expected
    assert numba_cpu.query_order(shapes, start - 1).tolist() == list(range(start - 1))


def test_sizes_of_every_sample():
    sizes = numba_cpu.sample_sizes(((5, 3), (2, 4)), 2)
    assert sizes.tolist() == [3, 5, 0, 3, 5, 0, 4, 2, 15, 4, 2, 15] and sizes.dtype == np.int32


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_few_numbers_are_not_worth_a_thread(three_threads):
    assert numba_cpu.threads_for(numba_cpu.SERIAL_NUMBERS - 1) == 1
    assert numba_cpu.threads_for(numba_cpu.SERIAL_NUMBERS) == 3


@pytest.mark.parametrize("tasks, threads", [(0, 3), (1, 3), (2, 3), (11, 1), (12, 3), (13, 3), (100, 2)])
def test_every_task_is_done_once(tasks, threads):
    calls = []
    numba_cpu.share_out(lambda *args: calls.append((args, threading.get_ident())), ("a", "b"), tasks, threads)
    assert all(args[:2] == ("a", "b") for args, _ in calls)
    ranges = sorted(args[2:] for args, _ in calls)
    assert [task for first, last in ranges for task in range(first, last)] == list(range(tasks))
    here = {thread == threading.get_ident() for _, thread in calls}
    if threads == 1 or tasks < 2:
        assert len(calls) == 1 and here == {True}  # waking a thread for one task would cost more than it saves
    else:
        assert len(calls) == min(tasks, threads * numba_cpu.SHARES_PER_THREAD) and here == {False}
        assert len({last - first for first, last in ranges}) <= 2  # equal, but for one task


def test_an_error_in_a_thread_is_told():
    def kernel(first, last):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        numba_cpu.share_out(kernel, (), 5, 2)


def test_a_pool_for_each_process_and_number_of_threads():
    pool = numba_cpu._pool(-1, 2)
    assert pool is numba_cpu._pool(-1, 2) and pool._max_workers == 2
    assert len({id(numba_cpu._pool(*pair)) for pair in ((-1, 2), (-1, 3), (-2, 2))}) == 3


@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 7), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_new_memory(shape, dtype):
    tensor = numba_cpu._new(shape, dtype)
    assert tensor.shape == shape and tensor.dtype == dtype and tensor.is_contiguous()
    assert (tensor == 0).all() and (not tensor.numel() or tensor.data_ptr() % 64 == 0)
    tensor.fill_(1)  # it may be written


def test_arrays_share_memory_where_they_can():
    tensor = torch.arange(24.0).reshape(2, 3, 4).requires_grad_()
    assert np.shares_memory(numba_cpu._array(tensor, 2, 12), tensor.detach().numpy())
    turned = numba_cpu._array(tensor.transpose(0, 1), 3, 8)
    assert turned.flags.c_contiguous and turned[1].tolist() == [4, 5, 6, 7, 16, 17, 18, 19]
    assert numba_cpu._array(tensor.transpose(0, 1), 3, 2, 4).flags.c_contiguous  # the same shape, another order


@pytest.mark.parametrize(("batch", "heads"), [(1, 1), (2, 3)], ids=["level by level", "head by head"])
def test_several_threads_agree_with_the_specification(batch, heads, three_threads, monkeypatch):
    """One image of one head has fewer tasks than there are threads."""
    monkeypatch.setattr(numba_cpu, "SERIAL_NUMBERS", 0)
    shared_out = []
    original = numba_cpu.share_out
    monkeypatch.setattr(numba_cpu, "share_out", lambda *args: shared_out.append(args[2:]) or original(*args))
    inputs = make_inputs(batch=batch, queries=70, heads=heads, dim=6, points=2)
    assert_all_close(run("numba", SHAPES, *inputs), run("loops", SHAPES, *inputs))
    backward = 3 if heads == 1 else batch * heads  # three levels of one head, or all heads
    assert shared_out == [(2 * batch * heads, 3), (backward, 3)]  # two runs of queries for each head


def test_few_threads_take_whole_heads(monkeypatch):
    """How many are worth it depends on the numbers that are read: N·Q·M·L·K·D."""
    tasks, numbers = [], []
    original = numba_cpu.share_out
    monkeypatch.setattr(numba_cpu, "share_out", lambda *args: tasks.append(args[2]) or original(*args))
    monkeypatch.setattr(numba_cpu, "threads_for", lambda count: numbers.append(count) or 1)
    inputs = make_inputs(batch=1, queries=5, heads=1, dim=6, points=2)
    assert_all_close(run("numba", SHAPES, *inputs), run("loops", SHAPES, *inputs))
    assert tasks == [1, 1] and numbers == [5 * 3 * 2 * 6] * 2


REDUCED = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", REDUCED)
def test_reduced_values_give_the_sums_of_widened_ones(dtype):
    """To the last bit, and gradients as well: only the reading differs."""
    value, locations, weights = make_inputs(batch=2, queries=7, dtype=torch.float32, dim=8)
    value, grad_output = value.to(dtype), torch.randn(2, 7, value.shape[2] * 8).to(dtype)
    rest = (SHAPES, locations, weights)
    assert torch.equal(numba_cpu.forward(value, *rest), numba_cpu.forward(value.float(), *rest))
    gradients = numba_cpu.backward(grad_output, value, *rest)
    expected = numba_cpu.backward(grad_output.float(), value.float(), *rest)
    for one, other in zip(gradients, expected, strict=True):
        assert one.dtype == torch.float32 and one.abs().max() > 0 and torch.equal(one, other)


@pytest.mark.parametrize("dtype", REDUCED)
def test_reduced_values_are_not_copied(dtype):
    value, locations, weights = make_inputs(batch=2, queries=3, dtype=torch.float32, dim=8)
    value = value.to(dtype).requires_grad_()
    with torch.profiler.profile(record_shapes=True) as profile:
        ms_deform_attn(value, SHAPES, locations, weights, backend="numba")
    copied = [event.input_shapes for event in profile.events() if event.name in ("aten::copy_", "aten::clone")]
    assert [list(value.shape)] not in [shapes[:1] for shapes in copied], copied
    assert any(shapes[:1] == [[2, 3, value.shape[2] * 8]] for shapes in copied)  # but the result is rounded
