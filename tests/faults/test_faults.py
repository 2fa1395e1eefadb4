"""The short form of `make faults`, and that it would notice."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="processes are forked and limited, which this system cannot")

from defdetr_ref import checkpoints  # noqa: E402
from defdetr_ref.weight_files import reading  # noqa: E402
from tests.faults.campaign import KINDS, Campaign  # noqa: E402
from tests.faults.moments import Moments, in_child, interrupt  # noqa: E402
from tests.small_models import small_model  # noqa: E402

SHORT = {"kills": 1, "full_disks": 1, "bit_flips": 40}


@pytest.mark.slow
def test_a_few_faults_lose_nothing():
    times = [f"--{kind.replace('_', '-')}={SHORT.get(kind, 0)}" for kind in KINDS]
    command = [sys.executable, "-m", "tests.faults", "--seed", "2", *times]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = [line.split()[:2] for line in done.stdout.splitlines()[1:]]
    assert {kind.rstrip(":") for _, kind in counted} == set(SHORT)
    assert sum(int(times) for times, _ in counted) == sum(SHORT.values())


@pytest.fixture
def flips(tmp_path):
    """A campaign that has a checkpoint and can only flip bits."""
    campaign = Campaign.__new__(Campaign)
    campaign.folder, campaign.rng, campaign.counts, campaign.problems = tmp_path, random.Random(1), Counter(), []
    checkpoints.save(tmp_path / "straight" / "last.pt", small_model("refine"), epoch=3)
    checkpoints.save(tmp_path / "straight" / "best.pt", small_model("multi"), epoch=2)
    return campaign


def test_flipped_bits_are_refused_by_name(flips):
    flips.repeat("bit_flips", 30)
    assert flips.problems == [] and sum(flips.counts.values()) == 30
    assert {"bit_flips: .pt refused", "bit_flips: .safetensors refused"} <= set(flips.counts)


def test_a_reader_without_checksums_would_be_noticed(flips, monkeypatch):
    monkeypatch.setattr(reading, "verify_zip", lambda path: None)
    monkeypatch.setattr(reading, "verify_digests", lambda *args: None)
    flips.repeat("bit_flips", 30)
    assert flips.counts["bit_flips: WRONG"] == len(flips.problems) > 10


def test_a_moment_comes_once():
    calls = []
    for moments in (first := Moments(40, lambda: calls.append(first.calls)), second := Moments(7, lambda: None)):
        before = sys.getprofile()
        sys.setprofile(None)
        moments.start()
        for number in range(50):
            str.upper(str(number))
        sys.setprofile(before)
    assert calls == [40] and first.calls - 1 == second.calls - 1 > 40


def test_ctrl_c_is_heard_where_a_script_ignores_it(tmp_path):
    """As a shell does for what it starts in the background: the campaign took that for a Ctrl-C that was lost."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = in_child(lambda moments: interrupt(), Moments(), tmp_path / "log.txt")
        assert child.outcome().error == "KeyboardInterrupt"
    finally:
        signal.signal(signal.SIGINT, before)
