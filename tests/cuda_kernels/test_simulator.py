"""Both CUDA kernels against the specification, without a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_kernels_on_the_simulator():
    """`simulated.py`, in a process of its own because the simulator replaces the compiler when Numba is imported."""
    options = ["-q", "-p", "no:cacheprovider", "--durations=5"]
    command = [sys.executable, "-m", "pytest", *options, str(HERE / "simulated.py")]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    finished = subprocess.run(command, env=environment, cwd=HERE.parents[1], capture_output=True, text=True)
    print(finished.stdout)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "skipped" not in finished.stdout
