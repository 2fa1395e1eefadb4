"""What no implementation can beat: arithmetic, memory traffic, and how fast this machine fetches rows at random."""

import functools
from typing import Any

import numpy as np
import torch
from numba import njit

from benchmarks.measuring import interleaved
from benchmarks.workloads import Workload
from defdetr_ref.ops.numba_simd import add_scaled, load, prefetch, store, zeros

CORNERS = 4
FLOPS_FORWARD = 2 * CORNERS  # for each channel of a point: four products, four sums
FLOPS_BACKWARD = 4 * CORNERS  # the gains and the gradient of the value
ROW = 32  # float32 numbers: 128 bytes, one head's row of the usual 32 channels
TABLES = {"512 KB": 2**19, "1.5 MB": 3 * 2**19, "18 MB": 18 * 2**20, "200 MB": 200 * 2**20}  # bytes
FETCHES = 400_000
ROUNDS = 5  # the fastest counts
PREFETCH_DISTANCE = 32  # rows asked for before they are summed


def lower_bounds(workload: Workload) -> dict[str, float]:
    """Of the workload alone: operations, compulsory bytes (every input and result once), gathered bytes."""
    points = workload.attention_weights.numel()
    value, channels = workload.value, workload.value.shape[3]
    once = sum(x.numel() * x.element_size() for x in (value, workload.sampling_locations, workload.attention_weights))
    output = workload.grad_output.numel() * workload.grad_output.element_size()
    return {
        "points": points,
        "gflop_forward": round(points * channels * FLOPS_FORWARD / 1e9, 4),
        "gflop_backward": round(points * channels * FLOPS_BACKWARD / 1e9, 4),
        "megabytes_compulsory": round((once + output) / 1e6, 3),
        "megabytes_gathered": round(points * CORNERS * channels * value.element_size() / 1e6, 3),
    }


@njit(nogil=True)
def _fetch(table, rows, result):
    """Sum the rows of `table` (flat) that begin at `rows`."""
    total = zeros(table, ROW)
    for i in range(len(rows)):
        if i + PREFETCH_DISTANCE < len(rows):
            prefetch(table, rows[i + PREFETCH_DISTANCE], ROW)
        total = add_scaled(total, np.float32(1), load(table, rows[i], ROW, ""))
    store(result, 0, total)


def fetch_rates(seed: int) -> dict[str, float]:
    """GB/s at which one core fetches random 128-byte rows, by the size of the table they come from."""
    generator = np.random.default_rng(seed)
    rates = {}
    for name, size in TABLES.items():
        table, result = np.ones(size // 4, np.float32), np.empty(ROW, np.float32)
        rows = ROW * generator.integers(len(table) // ROW, size=FETCHES)
        seconds = interleaved({name: functools.partial(_fetch, table, rows, result)}, ROUNDS, "cpu")[name]
        rates[name] = round(FETCHES * 4 * ROW / min(seconds) / 1e9, 1)
    return rates


def memory_rate(device: str) -> float:
    """GB/s of a large copy, read and written bytes counted: what the memory of this device sustains."""
    source = torch.ones(2**26, device=device)
    target = torch.empty_like(source)
    seconds = interleaved({"copy": lambda: target.copy_(source)}, ROUNDS, device)["copy"]
    return round(2 * 4 * 2**26 / min(seconds) / 1e9, 1)


def machine_rates(device: str, seed: int) -> dict[str, Any]:
    """How fast this machine is at what the operator does."""
    rates: dict[str, Any] = {"gigabytes_per_second_copy": memory_rate(device)}
    if device == "cpu":
        rates["gigabytes_per_second_random_rows_one_core"] = fetch_rates(seed)
    return rates


def bound_milliseconds(found: dict[str, float], rates: dict[str, Any]) -> float:
    """The least time of a forward pass: compulsory traffic at the rate of a large copy."""
    return round(found["megabytes_compulsory"] / rates["gigabytes_per_second_copy"], 4)
