"""`defdetr grade` on the notebooks of a small class. Their kernels import nothing: they do what a check does."""

import inspect
import json

import pytest

from defdetr_ref.course import exercises
from tests.cli.commands import defdetr
from tests.grading.notebooks import write_notebook

pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")

STAND_IN = """
import json, os

class WrongAnswer(AssertionError):
    pass

class exercises:
    solved = []

    def check(name, answer):
        if answer == "right":
            exercises.solved.append(name)
            with open(os.environ["DEFDETR_PROGRESS"], "w", encoding="utf-8") as file:
                json.dump({"solved": exercises.solved}, file)
        if answer == "wrong":
            raise WrongAnswer(f"{name}: not right yet: it is wrong.")
"""
CHECKS = ('exercises.check("00-tokens", {!r})', "exercises.check('00-shapes', {!r})")
UNDEFINED = "NameError: name 'undefined' is not defined"


def checks(*answers):
    return [check.format(answer) for check, answer in zip(CHECKS, answers, strict=True)]


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    """anna solves all, ben is wrong, open, and stops half way, carl's file is broken, dora handed nothing in."""
    folder = tmp_path_factory.mktemp("school")
    write_notebook(folder / "anna" / "00_map.ipynb", STAND_IN, *checks("right", "right"))
    write_notebook(folder / "ben" / "00_map.ipynb", STAND_IN, *checks("wrong", ...), "\nundefined")
    (folder / "carl").mkdir()
    (folder / "carl" / "00_map (1).ipynb").write_text('{"cells": [', encoding="utf-8")
    (folder / "carl" / "notes.ipynb").write_text("no lesson", encoding="utf-8")
    (folder / "dora").mkdir()
    (folder / ".hidden").mkdir()
    return folder


def test_a_class_has_a_row_for_each_learner(school, capsys):
    assert defdetr("grade", school) == 1
    rows = [line.split(maxsplit=6) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["learner", "solved", "wrong", "open", "broken"]
    assert rows[1] == ["anna", "2", "of", "2", "0", "0", "-"]
    assert rows[2] == ["ben", "0", "of", "2", "1", "1", f"00: cell 4: {UNDEFINED}"]
    assert rows[3] == ["carl", "0", "of", "2", "0", "2", "00: 00_map (1).ipynb is no notebook that can be read"]
    assert rows[4] == ["dora", "0", "of", "2", "0", "2", "-"]


def test_all_solved_is_success_and_has_a_row_for_each_notebook(school, capsys):
    assert defdetr("grade", school / "anna") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["notebook", "solved", "wrong", "open", "broken"]
    assert row.split() == ["00_map.ipynb", "2", "of", "2", "-", "-", "-"]


def test_json_holds_what_was_said(school, capsys):
    assert defdetr("grade", school / "ben", "--json") == 1
    (learner,) = json.loads(capsys.readouterr().out)["learners"]
    assert (learner["name"], learner["solved"], learner["of"], learner["passed"]) == ("ben", 0, 2, False)
    (notebook,) = learner["notebooks"]
    assert notebook["open"] == ["00-shapes"] and notebook["solved"] == []
    assert notebook["wrong"] == {"00-tokens": "00-tokens: not right yet: it is wrong."}
    assert notebook["broken"] == [{"cell": 4, "source": "undefined", "what": UNDEFINED}]


@pytest.mark.slow
def test_checks_themselves_are_believed(tmp_path, capsys):
    solution = inspect.getsource(exercises.find("00-tokens").solution)
    write_notebook(
        tmp_path / "00_map.ipynb",
        f"import math\nfrom defdetr_ref import exercises\n{solution}",
        'exercises.check("00-tokens", number_of_tokens)',
        'print("00-shapes: right.")',  # saying so is not enough
        'exercises.check("00-shapes", {"images": 3})',
    )
    assert defdetr("grade", tmp_path, "--json") == 1
    (notebook,) = json.loads(capsys.readouterr().out)["learners"][0]["notebooks"]
    assert notebook["solved"] == ["00-tokens"] and list(notebook["wrong"]) == ["00-shapes"]
    assert notebook["broken"] == []
