"""How much memory a call takes at its peak, results included, beyond what its inputs take.

On a GPU PyTorch counts. On a CPU a process of its own is asked: Linux keeps the highest resident size, and forgets it
on request.
"""

import argparse
import ctypes
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.implementations import MAKERS
from benchmarks.workloads import WORKLOADS, Workload, tiny

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_HIGHEST = b"5"
DIRECTIONS = ("forward", "forward + backward")


def _resident(field: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (highest)."""
    line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def extra_peak_memory(implementation: str, workload: Workload, direction: str, device: str, seed: int) -> int | None:
    """Bytes; None where the system does not tell."""
    if device == "cuda":
        run = _runner(implementation, workload, direction, device)
        run()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    if not FORGET.exists():
        return None
    command = [sys.executable, "-m", __spec__.name, implementation, workload.name, direction, str(seed)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _runner(implementation: str, workload: Workload, direction: str, device: str):
    chosen = MAKERS[device][implementation]()
    return lambda: (chosen.run if direction == "forward" else chosen.run_with_gradients)(workload)


def main() -> None:
    """Print the bytes of one call in this fresh process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("implementation")
    parser.add_argument("workload")
    parser.add_argument("direction", choices=DIRECTIONS)
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    workload = WORKLOADS[arguments.workload](arguments.seed)
    channels = workload.value.shape[3]
    trial = tiny("trial", 0) if channels == 8 else _shrunk(workload)
    _runner(arguments.implementation, trial, arguments.direction, "cpu")()  # loads code, compiles
    run = _runner(arguments.implementation, workload, arguments.direction, "cpu")
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc; others have none
        trim(0)  # memory that was freed but kept would hide what the call takes
    before = _resident("VmRSS")
    FORGET.write_bytes(FORGET_HIGHEST)
    result = run()
    print(_resident("VmHWM") - before)
    del result


def _shrunk(workload: Workload) -> Workload:
    """The same with two queries."""
    return Workload(
        workload.name,
        workload.value,
        workload.spatial_shapes,
        workload.sampling_locations[:, :2],
        workload.attention_weights[:, :2],
        workload.grad_output[:, :2],
    )


if __name__ == "__main__":
    main()
