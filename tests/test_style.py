"""The style that pyproject.toml names: ruff's rules and its formatter, over everything."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["rules", "format"])
def test_ruff_has_nothing_to_say(command):
    pytest.importorskip("ruff")
    arguments = [sys.executable, "-m", "ruff", *command, "--no-cache", "--output-format=concise", "."]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    mend = f"mend it with: ruff {' '.join(command).replace('--check', '').replace('check', 'check --fix')}".rstrip()
    assert done.returncode == 0, f"{mend}\n{done.stdout}{done.stderr}"
