"""The style that pyproject.toml names: ruff's rules and its formatter, over everything."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MENDED_BY = {
    "check": "run `.venv/bin/ruff check --fix .`, and mend by hand what it then still lists",
    "format": "run `.venv/bin/ruff format .`, which lays out these files anew",
}


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["rules", "format"])
def test_ruff_has_nothing_to_say(command):
    pytest.importorskip("ruff")
    arguments = [sys.executable, "-m", "ruff", *command, "--no-cache", "--output-format=concise", "."]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{MENDED_BY[command[0]]}:\n{done.stdout}{done.stderr}"
