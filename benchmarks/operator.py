"""The operator alone: every implementation on every workload, in turn."""

from collections.abc import Callable
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.implementations import BASELINE, available, forget_compilations
from benchmarks.lower_bounds import bound_milliseconds, lower_bounds, machine_rates
from benchmarks.measuring import interleaved, summary
from benchmarks.memory import DIRECTIONS, extra_peak_memory
from benchmarks.workloads import WORKLOADS, Workload, tiny

DTYPES = {"cpu": (torch.float32,), "cuda": (torch.float32, torch.float16, torch.bfloat16)}
MEMORY_WORKLOAD = "encoder 800×1066, σ = 3 px"


def bench_operator(
    device: str, rounds: int, seed: int, names: list[str], keep: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """names: workloads. Returns everything measured, ready for JSON; `keep` gets what there is after each row."""
    implementations, reasons = available(device, tiny("trial", seed).to(device, torch.float32))
    rates = machine_rates(device, seed)
    found: dict[str, Any] = {"rates": rates, "not_run": reasons, "rows": [], "extra_peak_megabytes": {}}
    for name in names:
        for dtype in DTYPES[device]:
            forget_compilations()
            workload = WORKLOADS[name](seed).to(device, dtype)
            bounds = lower_bounds(workload)
            row: dict[str, Any] = {
                "workload": name,
                "dtype": str(dtype).removeprefix("torch."),
                "lower_bounds": bounds | {"milliseconds_forward": bound_milliseconds(bounds, rates)},
            }
            for direction in DIRECTIONS:
                runs = _runs(implementations, workload, direction)
                row[direction] = summary(interleaved(runs, rounds, device), BASELINE)
            tqdm.write(f"timed: {name}, {row['dtype']}")
            found["rows"].append(row)
            keep(found)
    if MEMORY_WORKLOAD in names:
        forget_compilations()
        names_of = [implementation.name for implementation in implementations]
        found["extra_peak_megabytes"] = _memory(names_of, device, seed)
    return found


def _runs(implementations, workload: Workload, direction: str) -> dict:
    """Those that can: a layer that refuses a dtype is left out of that row."""
    runs = {}
    for implementation in implementations:
        method = implementation.run if direction == "forward" else implementation.run_with_gradients
        try:
            method(workload)
        except (RuntimeError, ValueError):
            continue
        runs[implementation.name] = lambda method=method: method(workload)
    return runs


def _memory(names: list[str], device: str, seed: int) -> dict[str, dict[str, float | None]]:
    workload = WORKLOADS[MEMORY_WORKLOAD](seed).to(device, torch.float32)
    found: dict[str, dict[str, float | None]] = {}
    for direction in DIRECTIONS:
        for name in names:
            size = extra_peak_memory(name, workload, direction, device, seed)
            found.setdefault(direction, {})[name] = None if size is None else round(size / 1e6, 1)
    return found
