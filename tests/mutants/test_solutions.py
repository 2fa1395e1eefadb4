"""The checks of the course refuse the solutions with one small thing changed, unless the change makes no difference."""

import pytest

from defdetr_ref.course import exercises
from tests.mutants import solutions

NAMES = [name for name in exercises.names() if callable(exercises.find(name).solution)]
KERNELS = [name for name in NAMES if name.startswith("13-")]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in KERNELS if name != "13-one-read"]

FEWEST = {"16-giou": 3}  # a line of three calls; any other solution has room for four changes


@pytest.mark.parametrize("name", [name for name in NAMES if name not in KERNELS[1:]] + SLOW)
def test_every_change_is_refused_or_equivalent(name):
    accepted, tried = solutions.accepted_of(name)
    listed = {(before, after) for exercise, before, after in solutions.read_equivalents() if exercise == name}
    assert tried >= FEWEST.get(name, 4) and set(accepted) == listed


def test_each_equivalent_change_has_a_reason():
    for (name, *_), reason in solutions.read_equivalents().items():
        assert name in NAMES and reason.endswith(".")


def test_what_a_check_accepts_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(solutions, "read_equivalents", dict)
    solutions.main(["14-window"])
    printed = capsys.readouterr().out
    assert "14-window: 25 of 29 refused" in printed and "accepted: row, column = token // width" in printed
    with pytest.raises(SystemExit, match="no exercise that is a function has a name that begins with 99"):
        solutions.main(["99"])
