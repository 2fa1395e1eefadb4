"""The package's CUDA kernels under the tracer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_counts_of_the_packages_kernels():
    """In a process of its own, because the simulator is chosen when Numba is imported."""
    script = Path(__file__).with_name("package_kernels.py")
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    finished = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
