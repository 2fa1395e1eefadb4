"""Compile the CUDA kernels to PTX and to machine code on a machine without a GPU, where the compiler is installed."""

import functools
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from defdetr_cuda.launch import signature
from defdetr_cuda.plans import Plan, Sizes, fast_plan, textbook_plan

LEVELS = (100, 134, 50, 67, 25, 34, 13, 17)  # an image of 800×1066
TOKENS = sum(height * width for height, width in zip(LEVELS[::2], LEVELS[1::2], strict=True))
HOPPER, AMPERE = (9, 0), (8, 0)  # compute capabilities with and without reductions of four numbers


def why_no_ptx() -> str | None:
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed"
    from numba.cuda.cudadrv import nvvm

    return None if nvvm.is_available() else "NVVM, the compiler behind Numba, is not installed (nvidia-nvvm)"


def find_ptxas() -> str | None:
    """NVIDIA's assembler: of the same wheels as the compiler, else of a CUDA installation."""
    package = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in package.submodule_search_locations] if package else []
    wheels = [str(path) for folder in folders for path in sorted(folder.glob("cu*/bin/ptxas"))]
    return next(iter(wheels), None) or shutil.which("ptxas")


def plan(kernel: str, direction: str, dtype: str, queries: int, capability=HOPPER, channels: int = 32) -> Plan:
    """The encoder workload's kernel for queries=TOKENS, a decoder's for fewer."""
    sizes = Sizes(1, TOKENS, 8, channels, queries, 4, 4)
    if kernel == "textbook":
        return textbook_plan(direction, dtype, sizes, LEVELS)
    return fast_plan(direction, dtype, sizes, LEVELS, vector_reductions=capability >= HOPPER)


@functools.cache
def ptx(plan: Plan, capability: tuple[int, int] = HOPPER) -> str:
    from numba.cuda import compile_ptx, types

    arguments = signature(types, plan.pointers, tuple(map(len, plan.scalars))).args
    return compile_ptx(plan.kernel, arguments, cc=capability)[0]


def resources(text: str, folder: Path, capability: tuple[int, int] = HOPPER) -> dict[str, int]:
    """What the assembler reports: registers of a thread, bytes spilled, of stack, and of shared memory of a block."""
    source = folder / "kernel.ptx"
    source.write_text(text, encoding="utf-8")
    target = f"-arch=sm_{capability[0]}{capability[1]}"
    command = [find_ptxas(), "-v", target, str(source), "-o", str(folder / "kernel.cubin")]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    patterns = {
        "registers": r"Used (\d+) registers",
        "stack": r"(\d+) bytes stack frame",
        "spilled": r"(\d+) bytes spill stores",
        "shared": r"(\d+) bytes smem",
    }
    found = {name: re.search(pattern, report) for name, pattern in patterns.items()}
    return {name: int(match[1]) if match else 0 for name, match in found.items()}
