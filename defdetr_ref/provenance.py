"""Where numbers come from: the versions and the machine that every file of results names."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("defdetr-ref", "torch", "numpy", "numba", "scipy", "pycocotools", "matplotlib", "pillow")


def versions() -> dict[str, str]:
    """Of Python and of the packages that can change a result."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def machine(device: str = "cpu") -> dict[str, Any]:
    """What computed: processor, number of cores, PyTorch's threads, device, operating system, and a GPU's name."""
    found = {
        "processor": processor_name(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": device,
        "platform": platform.platform(),
    }
    return found | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {})


def processor_name(cpu_info: Path = Path("/proc/cpuinfo")) -> str:
    """As Linux names it; elsewhere what Python knows, which may be nothing but the architecture."""
    lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines() if cpu_info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
