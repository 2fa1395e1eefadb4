"""The short form of `make fuzz`, that it goes on where it stopped, and that it would notice."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from defdetr_ref.data import annotations
from tests.fuzz import campaign
from tests.fuzz.annotations import GOOD
from tests.fuzz.annotations import Target as Annotations
from tests.fuzz.campaign import TARGETS, Campaign

ROOT = Path(__file__).parents[2]
QUICK, SHORT = tuple(target for target in TARGETS if target != "folders"), 40  # cases of each
SHORTEST = 2  # of folders: with this seed one that is refused and one that is read
SEED = 3


class Numbers:
    """A target that does nothing but draw."""

    def __init__(self, folder):
        self.drawn = []

    def case(self, rng):
        self.drawn.append(rng.random())
        if 0.4 < self.drawn[-1] < 0.6:
            raise TypeError(f"drawn\n{self.drawn[-1]}")
        return "low" if self.drawn[-1] < 0.5 else "high"


@pytest.fixture
def numbers(monkeypatch):
    monkeypatch.setattr(campaign, "SAVED_EVERY", 10)
    monkeypatch.setattr(Campaign, "_target", lambda self, folder: Numbers(folder))


@pytest.mark.slow
@pytest.mark.parametrize("targets", [QUICK, ("folders",)], ids=["quick", "folders"])
def test_a_few_inputs_end_as_they_must(targets, tmp_path):
    if targets != QUICK:
        pytest.importorskip("transformers")
    # In a process of its own: there the package does not check the types of arguments, as nobody's copy does.
    cases = SHORT if targets == QUICK else SHORTEST
    command = [sys.executable, "-m", "tests.fuzz", "--seed", str(SEED), "--cases", str(cases), "--out", tmp_path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [*command, "--only", *targets], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counted = Counter()
    for line in done.stdout.splitlines():
        times, target, *_ = line.split()
        counted[target.rstrip(":")] += int(times)
    assert counted == dict.fromkeys(targets, cases)


def test_a_folder_that_is_read_otherwise_would_be_noticed(tmp_path, monkeypatch):
    """A field that is not refused, and other numbers."""
    folders = pytest.importorskip("tests.fuzz.folders")
    monkeypatch.setattr(folders, "FOREIGN", [("images", {"do_pad": False})])  # padding is ours to do: not refused
    spoilt = Campaign("folders", SEED, tmp_path)
    spoilt.run_until(1)
    assert "{'do_pad': False} is not refused" in spoilt.problems[0]
    with pytest.raises(AssertionError, match="outputs are"):
        folders.assert_same_rows(torch.zeros(2, 3, 4), torch.full((2, 3, 4), 0.001))
    rows = torch.rand(2, 3, 4)
    folders.assert_same_rows(rows.flip(1), rows)


def test_the_good_json_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzz.annotations.spoil_tree", lambda tree, rng: GOOD)
    monkeypatch.setattr("tests.fuzz.annotations.spoil_text", lambda text, rng: text)
    monkeypatch.setattr("tests.fuzz.annotations.spoil_bytes", lambda data, rng, others: data)
    target = Annotations(tmp_path)
    assert {target.case(campaign.random.Random(number)) for number in range(9)} == {"read"}


def test_a_reader_that_checks_less_would_be_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(annotations, "_is_id", lambda value: True)
    spoilt = Campaign("annotations", 1, tmp_path)
    spoilt.run_until(40)
    assert spoilt.problems and "--only annotations --case" in spoilt.problems[0]


def test_it_goes_on_where_it_stopped(tmp_path, numbers):
    straight = Campaign("numbers", 5, tmp_path / "a")
    straight.run_until(60)
    for cases in (25, 25, 60):
        resumed = Campaign("numbers", 5, tmp_path / "b")
        resumed.run_until(cases)
    assert resumed.done == 60 and sum(straight.counts.values()) == 60
    assert (resumed.counts, resumed.problems) == (straight.counts, straight.problems)
    assert straight.counts["WRONG"] == len(straight.problems) > 3
    assert Campaign("numbers", 6, tmp_path / "b").done == 0
    assert Campaign("numbers", 5, tmp_path / "b", again=True).done == 0


def test_what_is_done_is_kept_when_it_is_interrupted(tmp_path, numbers, monkeypatch):
    def interrupted(self, rng):
        if rng.random() > 0.9:
            raise KeyboardInterrupt
        return "low"

    monkeypatch.setattr(Numbers, "case", interrupted)
    stopped = Campaign("numbers", 5, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stopped.run_until(1000)
    assert 0 < stopped.done < 1000 and Campaign("numbers", 5, tmp_path).done == stopped.done


def test_another_version_of_the_package_begins_anew(tmp_path, numbers, monkeypatch):
    Campaign("numbers", 5, tmp_path).run_until(20)
    assert Campaign("numbers", 5, tmp_path).done == 20
    monkeypatch.setattr(campaign, "state_of_package", lambda: "another")
    assert Campaign("numbers", 5, tmp_path).done == 0


def test_a_problem_can_be_repeated_alone(tmp_path, numbers):
    once = Campaign("numbers", 5, tmp_path)
    once.run_until(30)
    number = int(once.problems[0].split("--case ")[1].split(":")[0])
    assert "TypeError: drawn 0." in once.problems[0]
    with pytest.raises(TypeError, match="drawn"):
        once.one(number)


@pytest.mark.parametrize("message", ["no place named", "a.json: two\nlines", "a.json" + "x" * 3000])
def test_what_is_no_sentence_is_noticed(message):
    with pytest.raises(AssertionError):
        campaign.assert_is_a_sentence(ValueError(message), "a.json")
    campaign.assert_is_a_sentence(ValueError("a.json is not good"), "a.json")
