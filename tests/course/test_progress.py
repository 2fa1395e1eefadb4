"""What is solved is remembered outside the clone, shown in a card, and never in the way of a lesson."""

import json
import sys
from pathlib import Path

import pytest

from defdetr_ref.course import exercises, progress
from defdetr_ref.course.lessons import LESSONS

TOKENS = exercises.find("00-tokens").solution


@pytest.fixture
def record(tmp_path, monkeypatch):
    path = tmp_path / "new" / "progress.json"
    monkeypatch.setenv("DEFDETR_PROGRESS", str(path))
    return path


def test_a_right_answer_is_remembered_once_and_others_are_not(record, capsys):
    exercises.check("00-shapes", ...)
    with pytest.raises(exercises.WrongAnswer):
        exercises.check("00-tokens", lambda height, width, strides: 3)
    assert not record.exists()
    for _ in range(2):
        exercises.check("00-tokens", TOKENS)
    assert json.loads(record.read_text(encoding="utf-8")) == {"solved": ["00-tokens"]}
    exercises.check("00-shapes", exercises.find("00-shapes").solution)
    assert progress.read_solved(record) == {"00-shapes", "00-tokens"}
    assert "progress" not in capsys.readouterr().out


def test_the_card_of_a_lesson_and_the_table_of_the_course(record):
    before = repr(exercises.card("00"))
    assert "open: 00-tokens, 00-shapes" in before and "solved: " not in before
    exercises.check("00-tokens", TOKENS)
    card = exercises.card("00")
    total = len(exercises.names())
    assert {"solved: 00-tokens", "open: 00-shapes"} <= set(repr(card).splitlines())
    assert "Solved in the whole course so far: 1 (" in repr(card)
    assert "next lesson: 01 · Reading between pixels" in repr(card)
    html = card._repr_html_()
    assert "✓&nbsp;00-tokens" in html and "○&nbsp;00-shapes" in html
    assert '<a href="01_reading_between_pixels.ipynb">' in html
    table = repr(exercises.progress())
    assert "1 of 2   open: 00-shapes\n01 " in table and table.endswith(f"{total} exercises solved. Next: 00 · Map")
    assert "1 of 2" in exercises.progress()._repr_html_()


def test_the_next_lesson_is_the_first_behind_with_something_to_solve(record):
    solved = [name for name in exercises.names() if name[:2] in ("01", "02")]
    record.parent.mkdir()
    record.write_text(json.dumps({"solved": solved}), encoding="utf-8")
    assert exercises.progress().next_lesson("00").number == "03"
    assert exercises.progress().next_lesson("05").number == "06"
    assert exercises.progress().next_lesson(LESSONS[-1].number).number == "00"  # skipped, so it comes last
    record.write_text(json.dumps({"solved": exercises.names()}), encoding="utf-8")
    assert exercises.progress().next_lesson() is None
    assert repr(exercises.progress()).endswith("The whole course is solved.")
    assert "next lesson" not in repr(exercises.card("03"))


@pytest.mark.parametrize("content", ["", "[]", '{"solved": 3}', '{"solved": [3]}', '{"done": []}', "\x00"])
def test_a_damaged_record_is_told_and_left_as_it_is(record, content, capsys):
    record.parent.mkdir()
    record.write_text(content, encoding="utf-8")
    assert exercises.check("00-tokens", TOKENS) is TOKENS
    assert f"(Your progress is not kept: {record} is no record of progress; delete it" in capsys.readouterr().out
    assert record.read_text(encoding="utf-8") == content
    for shown in (exercises.card("00"), exercises.progress()):
        assert "is no record of progress" in repr(shown) and "is no record of progress" in shown._repr_html_()


def test_a_place_that_cannot_be_written_does_not_stop_a_lesson(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEFDETR_PROGRESS", str(tmp_path / "file" / "progress.json"))
    assert exercises.check("00-tokens", TOKENS) is TOKENS
    assert "(Your progress is not kept: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("system", "variable", "place"),
    [
        ("linux", "XDG_DATA_HOME", ".local/share"),
        ("darwin", None, "Library/Application Support"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
    ],
)
def test_each_system_has_a_place(system, variable, place, tmp_path, monkeypatch):
    monkeypatch.delenv("DEFDETR_PROGRESS", raising=False)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert progress.progress_file() == tmp_path / place / "defdetr-ref" / "progress.json"
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "else"))
        assert progress.progress_file() == tmp_path / "else" / "defdetr-ref" / "progress.json"


def test_a_user_without_a_home_is_told(monkeypatch, capsys):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv("DEFDETR_PROGRESS", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", homeless)
    assert exercises.check("00-tokens", TOKENS) is TOKENS
    assert "name a file for the progress in DEFDETR_PROGRESS" in capsys.readouterr().out


def test_an_unknown_lesson_is_refused():
    with pytest.raises(ValueError, match="there is no lesson '99'; the course has 00, 01, "):
        exercises.card("99")


NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name[:2])
def test_each_notebook_begins_with_its_title_and_its_card(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    number = path.name[:2]
    assert "".join(cells[0]["source"]).startswith(f"# {number} · ")
    assert f'exercises.card("{number}")' in "".join(cells[1]["source"])
    assert len(cells) <= 60, "a lesson has at most 60 cells"
    longest = max(len("".join(cell["source"]).splitlines()) for cell in cells if cell["cell_type"] == "code")
    assert longest <= 15, f"a cell has {longest} lines; at most 15 are seen at once"
    assert path.stat().st_size < 1_000_000, "a notebook has at most 1 MB, outputs included"


def test_lessons_are_the_notebooks_and_have_their_titles():
    titles = []
    for path in NOTEBOOKS:
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        titles.append((path.stem, first.splitlines()[0].removeprefix(f"# {path.name[:2]} · ")))
    assert titles == [(lesson.file, lesson.title) for lesson in LESSONS]
