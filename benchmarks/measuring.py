"""Time, measured in turn, round after round; ratios of the same round."""

import statistics
import time
from collections.abc import Callable

import torch

FILL = 0.05  # seconds; short calls are repeated for as long, and one call's share is what counts


def _clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def calls_to_fill(run: Callable[[], object], device: str) -> int:
    """How many calls take about FILL seconds."""
    start = _clock(device)
    run()
    return max(1, round(FILL / (_clock(device) - start)))


def interleaved(cases: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of one call, for every case and round. A slow moment of the machine meets all cases of its round."""
    for run in cases.values():
        run()  # compiles, allocates
    calls = {name: calls_to_fill(run, device) for name, run in cases.items()}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            start = _clock(device)
            for _ in range(calls[name]):
                run()
            seconds[name].append((_clock(device) - start) / calls[name])
    return seconds


def summary(seconds: dict[str, list[float]], baseline: str) -> dict[str, dict[str, float]]:
    """Median milliseconds of each, and the median over the rounds of how many times as fast as the baseline it was."""
    found = {}
    for name, times in seconds.items():
        ratios = [base / own for base, own in zip(seconds[baseline], times, strict=True)]
        found[name] = {
            "milliseconds": round(1e3 * statistics.median(times), 4),
            "fastest": round(1e3 * min(times), 4),
            "speedup": round(statistics.median(ratios), 2),
        }
    return found
