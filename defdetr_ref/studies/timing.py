"""Measuring time so that a busy machine spoils little: everything in turn, round after round, and medians."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

Rounds = dict[str, list[float]]  # seconds of every round, by name


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch computes with `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def interleaved(cases: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> Rounds:
    """Run every case once a round, so that a slow moment of the machine meets all of them; seconds by round.

    The first `warm_up` rounds compile and allocate and do not count.
    """
    found: Rounds = {name: [] for name in cases}
    with torch.no_grad():
        for number in range(warm_up + rounds):
            for name, case in cases.items():
                start = time.perf_counter()
                case()
                seconds = time.perf_counter() - start
                if number >= warm_up:
                    found[name].append(seconds)
    return found


def median(values: list[float]) -> float:
    """In seconds, with four digits."""
    return float(f"{statistics.median(values):.4g}")


def ratio(rounds: Rounds, name: str, to: str) -> float:
    """The median over the rounds of how many times as long `name` took as `to` in the same round."""
    pairs = zip(rounds[name], rounds[to], strict=True)
    return float(f"{statistics.median(one / other for one, other in pairs):.3g}")


MATMUL_SIDE = 1024
COPIED_BYTES = 2**28  # far larger than any cache
COPY_TRAFFIC = 2  # a copy reads and writes


def machine_limits(rounds: int, copied_bytes: int = COPIED_BYTES) -> dict[str, float]:
    """What this machine reaches: FLOP/s in the best case, a large matrix product; byte/s of memory, a large copy."""
    matrix = torch.rand(MATMUL_SIDE, MATMUL_SIDE)
    source = torch.zeros(copied_bytes // 4)
    target = torch.empty_like(source)
    seconds = interleaved({"matmul": lambda: matrix @ matrix, "copy": lambda: target.copy_(source)}, rounds)
    return {
        "flops_per_second": float(f"{2 * MATMUL_SIDE**3 / min(seconds['matmul']):.3g}"),
        "bytes_per_second": float(f"{COPY_TRAFFIC * copied_bytes / min(seconds['copy']):.3g}"),
    }
