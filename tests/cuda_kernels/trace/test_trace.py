"""What the tracer sees of small kernels whose accesses can be counted by hand."""

import numpy as np
import pytest
from defdetr_cuda.trace import LINE_BYTES, encoder_case, random_case, trace, trace_package
from numba import cuda, float32


def numbers(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)


def skipping(value, output, rounds):
    """Odd threads skip the first inner round, multiples of three the whole of the second outer round."""
    thread = cuda.grid(1)
    for outer in range(rounds):
        if outer == 1 and thread % 3 == 0:
            continue
        for inner in range(2):
            if inner == 0 and thread % 2 == 1:
                continue
            output[thread] = value[10 * outer + 5 * inner]


def test_threads_are_together_in_the_same_round_of_every_loop():
    steps = trace(skipping, 1, 6, numbers(30), numbers(6), 3).steps("read", "value")
    seen = [(step.first.index, sorted(step.lanes)) for step in steps]
    assert seen == [
        (0, [0, 2, 4]),
        (5, [0, 1, 2, 3, 4, 5]),
        (10, [2, 4]),
        (15, [1, 2, 4, 5]),
        (20, [0, 2, 4]),
        (25, [0, 1, 2, 3, 4, 5]),
    ]
    assert all(len({access.value for access in step.lanes.values()}) == 1 for step in steps)


def test_rounds_of_a_while_loop_are_counted_too():
    def kernel(value, output):
        thread = cuda.grid(1)
        left = 2
        while left:
            if thread or left == 1:
                output[thread] = value[left]
            left -= 1

    steps = trace(kernel, 1, 2, numbers(3), numbers(2)).steps("read", "value")
    assert [(step.first.value, sorted(step.lanes)) for step in steps] == [(2, [1]), (1, [0, 1])]


def test_addresses_values_and_lines():
    def kernel(first, second, output):
        output[cuda.grid(1)] = first[cuda.grid(1)] + second[2 * cuda.grid(1)]

    first, second = numbers(70).astype(np.float64), numbers(130)
    seen = trace(kernel, 2, 32, first, second, np.zeros(64))
    assert seen.addresses["first"] % 256 == 0 and seen.addresses["second"] == seen.addresses["first"] + 768
    access = next(a for a in seen.select("read", "second") if (a.block, a.thread) == (1, 5))
    assert (access.index, access.value, access.address) == (74, 74.0, seen.addresses["second"] + 74 * 4)
    assert [len(step.lines) for step in seen.steps("read", "first")] == [2, 2]  # 32 float64 are 256 bytes
    assert [len(step.lines) for step in seen.steps("read", "second")] == [2, 2]
    assert seen.lines_of_block(1, "second") == (2, 2)
    assert seen.steps("read", "first")[1].lines == {(seen.addresses["first"] + 256) // LINE_BYTES + i for i in (0, 1)}


def test_warps_are_32_threads_of_a_block():
    def kernel(value):
        value[cuda.grid(1)]

    seen = trace(kernel, 2, 40, numbers(80))
    assert [len(step.lanes) for step in seen.steps("read")] == [32, 8, 32, 8]
    assert len(seen.steps("read", block=1, warp=1)) == 1


@pytest.mark.parametrize("index, sentence", [
    (lambda i: i - 1, r"thread 0 of block 0 reads value\[-1\], which is outside of value: its indices go from 0 to 2"),
    (lambda i: i + 1, r"thread 2 of block 0 reads value\[3\], which is outside"),
    (lambda i: i / 1, r"reads value\[0.0\], but an index must be a whole number"),
    (lambda i: (i, 0), "with 2 indices, but value has 1 dimensions"),
    (lambda i: slice(0, i), r"only a part \[start:\]"),
])  # fmt: skip
def test_a_wrong_index_is_told_in_one_sentence(index, sentence):
    def kernel(value):
        value[index(cuda.threadIdx.x)]

    with pytest.raises(IndexError, match=sentence):
        trace(kernel, 1, 3, numbers(3))


def test_writes_and_atomics_are_checked_too_also_along_an_axis():
    def writes(value):
        value[0, cuda.threadIdx.x] = 1

    def adds(value):
        cuda.atomic.add(value, (cuda.threadIdx.x, 0), 1)

    with pytest.raises(IndexError, match=r"writes value\[0, 2\].* along axis 1 go from 0 to 1"):
        trace(writes, 1, 3, np.zeros((5, 2)))
    with pytest.raises(IndexError, match=r"adds to value\[2, 0\].* along axis 0"):
        trace(adds, 1, 3, np.zeros((2, 5)))


def test_arrays_of_two_dimensions():
    def kernel(value, output):
        output[cuda.threadIdx.x, 1] = value[1, cuda.threadIdx.x]

    value, output = np.arange(6.0).reshape(2, 3), np.zeros((3, 2))
    seen = trace(kernel, 1, 3, value, output)
    assert output[:, 1].tolist() == [3, 4, 5]
    assert [access.index for access in seen.select("write")] == [1, 3, 5]


def plain(total):
    total[0] += cuda.threadIdx.x


def atomic(total):
    cuda.atomic.add(total, 0, cuda.threadIdx.x)


def reads_while_others_add(total):
    if cuda.threadIdx.x == 0:
        total[0]
    else:
        cuda.atomic.add(total, 0, 1)


def same_value(total):
    total[0] = 1


def own(total):
    total[cuda.grid(1)] += 1


def only_reads(total):
    total[0]


@pytest.mark.parametrize("kernel, races", [
    (plain, 1), (atomic, 0), (reads_while_others_add, 1), (same_value, 1), (own, 0), (only_reads, 0),
])  # fmt: skip
@pytest.mark.parametrize("blocks, threads", [(1, 3), (3, 1), (2, 2)])
def test_races(kernel, races, blocks, threads):
    if kernel is reads_while_others_add and threads == 1:
        pytest.skip("every thread is thread 0")
    assert len(trace(kernel, blocks, threads, np.zeros(6)).races()) == races


def test_atomics_return_what_was_there_and_are_one_access():
    total, before = np.zeros(2), np.zeros(4)

    def kernel(total, before):
        before[cuda.threadIdx.x] = cuda.atomic.add(total, 1, 2.5)

    seen = trace(kernel, 1, 4, total, before)
    assert total.tolist() == [0, 10] and sorted(before) == [0, 2.5, 5, 7.5]
    assert [(access.kind, access.value) for access in seen.select(array="total")] == [("atomic", 2.5)] * 4


def through_shared(value, output, wait):
    staged = cuda.shared.array(8, float32)
    other = cuda.shared.array((2, 4), float32)
    thread = cuda.threadIdx.x
    staged[thread] = value[cuda.grid(1)]
    other[0, thread] = 1
    if wait:
        cuda.syncthreads()
    output[cuda.grid(1)] = staged[3 - thread]


def test_shared_memory_belongs_to_a_block_and_a_barrier_orders_it():
    output = np.zeros(8, np.float32)
    seen = trace(through_shared, 2, 4, numbers(8), output, True)
    assert output.tolist() == [3, 2, 1, 0, 7, 6, 5, 4] and not seen.races() and not seen.uneven_barriers()
    assert {access.array for access in seen.select(shared=True)} == {"staged", "other"}
    races = trace(through_shared, 2, 4, numbers(8), output, False).races()
    assert (
        len(races) == 8
        and "both use staged[0]" in races[0]
        and races[0].endswith("with no barrier between: an update can be lost or missed")
    )


def test_what_nobody_wrote_into_shared_memory_is_not_a_number():
    def kernel(output):
        staged = cuda.shared.array(2, float32)
        output[0] = staged[1]

    output = np.zeros(1, np.float32)
    trace(kernel, 1, 1, output)
    assert np.isnan(output[0])


def test_a_barrier_makes_no_order_between_blocks():
    def kernel(total):
        if cuda.blockIdx.x == 1:
            cuda.syncthreads()
        total[0] = 1

    (race,) = trace(kernel, 2, 1, np.zeros(1)).races()
    assert race.startswith("thread 0 of block 0 and thread 0 of block 1 both use total[0]")


def test_a_block_finds_nothing_in_shared_memory_of_the_block_before():
    def kernel(output):
        staged = cuda.shared.array(1, float32)
        output[cuda.blockIdx.x] = staged[0]
        staged[0] = 1

    output = np.zeros(2, np.float32)
    trace(kernel, 2, 1, output)
    assert np.isnan(output).all()


def test_a_barrier_that_some_threads_pass_by_is_told_and_nothing_hangs():
    def kernel(output):
        if cuda.threadIdx.x < 2:
            return
        cuda.syncthreads()
        output[cuda.threadIdx.x] = 1

    (sentence,) = trace(kernel, 1, 4, np.zeros(4)).uneven_barriers()
    assert "in block 0 some threads came to cuda.syncthreads() 0 times and others 1 times" in sentence


def test_an_error_before_a_barrier_arrives_and_nothing_hangs():
    def kernel(output):
        if cuda.threadIdx.x == 2:
            raise KeyError("the reason")
        cuda.syncthreads()

    with pytest.raises(KeyError, match="the reason"):
        trace(kernel, 1, 4, np.zeros(4))


def test_a_kernel_that_cuda_jit_was_applied_to():
    output = np.zeros(3)
    trace(cuda.jit(own), 1, 3, output)
    assert output.tolist() == [1, 1, 1]


def returns(value):
    return value[0]


def blank(value):
    return ...


@pytest.mark.parametrize("error, sentence, kernel, arguments", [
    (ValueError, "a kernel returns nothing", returns, (1, 1, np.zeros(3))),
    (NotImplementedError, "still", blank, (1, 1, np.zeros(3))),
    (ValueError, "blocks: one to three numbers of at least 1", own, (0, 1, np.zeros(3))),
    (ValueError, "threads: one to three numbers", own, (1, (1, 1, 1, 1), np.zeros(3))),
    (ValueError, "40000 threads are too many", own, (400, 100, np.zeros(3))),
    (ValueError, r"total is not in C order; pass numpy.ascontiguousarray\(total\)", own, (1, 1, np.zeros((2, 3)).T)),
])  # fmt: skip
def test_launches_that_are_not_possible(error, sentence, kernel, arguments):
    with pytest.raises(error, match=sentence):
        trace(kernel, *arguments)


def test_the_table_counts_each_array():
    def kernel(value, output):
        thread = cuda.grid(1)
        if thread < 40:
            output[thread] = value[thread] + (value[0] if thread % 2 else 0)

    table = trace(kernel, 2, 32, numbers(40), np.zeros(40, np.float32)).table().splitlines()
    assert table[1].split() == ["value", "read", "60", "1", "to", "2", "4", "1.00", "1"]
    assert table[2].split() == ["output", "write", "40", "1", "2", "1.00", "1"]


def test_cases_have_the_shapes_that_they_say():
    case = random_case(2, 3, 2, 5, 4, [(2, 3), (1, 2)], seed=0)
    assert case.value.shape == (2, 8, 2, 5) and case.locations.shape == (2, 3, 2, 2, 4, 2)
    assert case.scalars == ((8, 2, 5, 3, 2, 4), (2, 3, 1, 2)) and case.blocks(16) == (2, 1, 2)
    assert str(case) == "levels [(2, 3), (1, 2)] (H, W), N=2, Q=3, M=2, D=5, K=4"
    pixel = encoder_case(1, 1, 1, [(2, 3), (1, 2)], seed=0, offset_pixels=0.0).locations[0, :, 0, 0, 0]
    np.testing.assert_allclose(pixel[[0, 1, 3, 7]], [(1 / 6, 0.25), (0.5, 0.25), (1 / 6, 0.75), (0.75, 0.5)], rtol=1e-6)


def test_the_packages_kernels_need_the_simulator_from_the_start():
    with pytest.raises(RuntimeError, match="set NUMBA_ENABLE_CUDASIM=1 before Numba is imported"):
        trace_package("forward", "fast", random_case(1, 1, 1, 4, 1, [(2, 3)], seed=0))
