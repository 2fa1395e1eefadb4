"""The compiled CPU backend in threads, in forked children, on any number of threads, and in a fresh process."""

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from defdetr_ref import ms_deform_attn
from defdetr_ref.ops import numba_cpu
from tests.ops.cases import SHAPES, make_inputs, run

# Enough numbers to be shared out over threads, in both dtypes; as many queries as tokens, and fewer.
LARGE_SHAPES = [(37, 29), (19, 15), (5, 7)]
TOKENS = sum(height * width for height, width in LARGE_SHAPES)
LARGE = {
    "encoder": dict(batch=2, queries=TOKENS, heads=4, dim=32, points=2),
    "decoder": dict(batch=3, queries=257, heads=5, dim=24, points=4),
    "one head": dict(batch=1, queries=700, heads=1, dim=64, points=5),  # fewer heads than threads
    "odd channels": dict(batch=1, queries=301, heads=4, dim=71, points=3),
}


def large(name: str, dtype=torch.float32, seed=0):
    return make_inputs(**LARGE[name], shapes=LARGE_SHAPES, dtype=dtype, seed=seed)


@pytest.fixture
def threads():
    """A way to set the number of threads, undone afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def same_bits(results) -> bool:
    return all(torch.equal(one, other) for result in results[1:] for one, other in zip(results[0], result, strict=True))


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_bits_on_any_number_of_threads_and_every_time(name, dtype, threads, monkeypatch):
    # One head alone: one thread takes the samples of all levels at once, several take them level by level, rounded
    # differently by a last bit.
    counts = (2, 3, 3, 2) if name == "one head" else (1, 2, 3, 3, 2, 1)
    shared_out = []
    original = numba_cpu.share_out
    monkeypatch.setattr(numba_cpu, "share_out", lambda *args: shared_out.append(args[-1]) or original(*args))
    inputs, results = large(name, dtype), []
    for count in counts:
        threads(count)
        results.append(run("numba", LARGE_SHAPES, *inputs))
    assert same_bits(results)
    assert set(shared_out) == set(counts)  # or else nothing was tested


def test_many_threads_agree_with_torch(threads):
    threads(3)
    inputs = large("decoder", torch.float64)
    for one, other in zip(run("numba", LARGE_SHAPES, *inputs), run("torch", LARGE_SHAPES, *inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_calls_from_several_python_threads_at_once(threads):
    """Eight callers, each with its own numbers, small and large calls mixed, all starting together."""
    threads(2)
    cases = [(LARGE_SHAPES, large("decoder", seed=seed)) for seed in range(4)]
    cases += [(SHAPES, make_inputs(seed=seed, dim=24, dtype=torch.float32)) for seed in range(4)]
    alone = [run("numba", shapes, *inputs) for shapes, inputs in cases]
    start = Barrier(len(cases))

    def call(shapes, inputs):
        start.wait(timeout=60)
        return [run("numba", shapes, *inputs) for _ in range(3)]

    with ThreadPoolExecutor(len(cases)) as pool:
        together = list(pool.map(call, *zip(*cases, strict=True), timeout=120))
    assert all(same_bits([one, *others]) for one, others in zip(alone, together, strict=True))


def forward_and_backward(leaves, cotangent):
    output = ms_deform_attn(leaves[0], LARGE_SHAPES, *leaves[1:], backend="numba")
    return [output.detach(), *torch.autograd.grad(output, leaves, cotangent)]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_in_forked_children_after_the_parent_has_used_it(threads):
    """The parent's threads do not exist in a child; waiting for them would never end.

    All numbers are made before the fork, because other functions of PyTorch that use threads do wait there.
    """
    threads(2)
    leaves = [tensor.requires_grad_() for tensor in large("decoder")]
    cotangent = torch.randn(3, 257, 120)
    expected = forward_and_backward(leaves, cotangent)

    def in_child(connection):
        connection.send([tensor.numpy() for tensor in forward_and_backward(leaves, cotangent)])

    for _ in range(2):  # a second child, after the parent has used it again
        receiving, sending = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=in_child, args=(sending,))
        child.start()
        sending.close()
        try:
            assert receiving.poll(timeout=60), "the child neither finished nor failed"
            assert same_bits([expected, [torch.from_numpy(array) for array in receiving.recv()]])
        finally:
            child.kill()
            child.join()
        assert same_bits([expected, forward_and_backward(leaves, cotangent)])


FRESH = """
import json, sys
from numba import njit
from numba.core import event
import torch
from defdetr_ref import ms_deform_attn

cuda = [name for name in sys.modules if name.startswith(("numba_cuda", "numba.cuda.cudadrv"))]
with event.install_recorder("numba:compile") as recorder:
    value, locations, weights = torch.ones(1, 6, 2, 8), torch.full((1, 3, 2, 1, 4, 2), 0.4), torch.ones(1, 3, 2, 1, 4)
    ms_deform_attn(value.requires_grad_(), [(2, 3)], locations, weights).sum().backward()
    ours = len(recorder.buffer)
    njit(lambda x: x + 1)(1)
print(json.dumps(dict(ours=ours, heard=len(recorder.buffer) - ours, cuda=cuda)))
"""


def in_fresh_process(code: str) -> dict:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_fresh_process_compiles_nothing_again():
    """What one process compiled, the next reads from the disk; a GPU's compiler is not even imported."""
    fresh = in_fresh_process(FRESH)
    if fresh["ours"]:  # nobody had compiled them before
        fresh = in_fresh_process(FRESH)
    assert fresh["heard"] > 0  # compilations do get noticed
    assert fresh["ours"] == 0 and fresh["cuda"] == []
