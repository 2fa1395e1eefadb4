"""`defdetr course`: a copy to work in."""

import json
import re
from pathlib import Path

import pytest

from defdetr_ref.cli import course
from tests.cli.commands import defdetr

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture
def trusted(monkeypatch):
    """The folders that were trusted."""
    folders = []
    monkeypatch.setattr(course, "trust", folders.append)  # it writes into the user's folders
    return folders


def code(path):
    return [cell["source"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if "outputs" in cell]


def test_all_notebooks_are_copied_and_trusted(tmp_path, trusted, capsys):
    target = tmp_path / "deep" / "mine"
    assert defdetr("course", target) == 0
    assert f"{len(NOTEBOOKS)} notebooks in {target}" in capsys.readouterr().out
    copies = sorted(target.iterdir())
    assert [path.name for path in copies] == [path.name for path in NOTEBOOKS]
    assert [code(path) for path in copies] == [code(path) for path in NOTEBOOKS]
    assert trusted == [target]


def test_links_to_pages_lead_to_the_repository_and_those_between_lessons_stay(tmp_path, trusted):
    assert defdetr("course", tmp_path / "mine") == 0
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "mine").iterdir()]
    assert not any("](../" in text for text in texts)
    assert sum(text.count("](https://github.com/defdetr-ref/defdetr-ref/blob/main/docs/house.md)") for text in texts)
    assert any("](01_reading_between_pixels.ipynb)" in text for text in texts)


def test_an_empty_folder_will_do_and_a_used_one_stays_as_it_is(tmp_path, trusted):
    assert defdetr("course", tmp_path) == 0
    (tmp_path / NOTEBOOKS[0].name).write_text("my answers", encoding="utf-8")
    assert defdetr("course", tmp_path) == 2
    assert (tmp_path / NOTEBOOKS[0].name).read_text(encoding="utf-8") == "my answers"


def test_other_notebooks_are_copied_and_not_trusted(tmp_path, trusted):
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "a.ipynb").write_text('{"cells": []}', encoding="utf-8")
    assert defdetr("course", tmp_path / "mine", "--notebooks", tmp_path / "others") == 0
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a.ipynb"] and trusted == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name[:2])
def test_a_copy_reads_no_file_beside_its_folder(path):
    assert not [line for source in code(path) for line in source if re.search(r"[\"']\.\./", line)]
