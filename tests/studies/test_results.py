"""Files of results: whole or not there, and never those of other settings."""

import json
from pathlib import Path

import pytest

from defdetr_ref.studies.results import finished, stored_results, write_json


def test_written_whole_and_nothing_beside_it(tmp_path):
    path = tmp_path / "deep" / "one.json"
    write_json(path, {"a": (1, 2)})
    write_json(path, {"a": (1, 3)})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": [1, 3]} and list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "one.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1} and list(tmp_path.iterdir()) == [path]


def test_a_writer_stopped_before_the_last_step_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "one.json"
    write_json(path, {"a": 1})

    def stopped(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stopped)  # all but the move is done
    with pytest.raises(KeyboardInterrupt):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1} and list(tmp_path.iterdir()) == [path]


def test_finished_means_the_very_same_settings(tmp_path):
    path = tmp_path / "one.json"
    identity = {"run": {"lr": 0.1, "sizes": (1, 2)}, "seed": 3}
    assert not finished(path, identity)
    write_json(path, {**identity, "AP": 0.5})
    assert finished(path, identity)
    with pytest.raises(ValueError, match="one.json holds the results of other settings.*differs in seed"):
        finished(path, {**identity, "seed": 4})


def test_a_file_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "one.json"
    path.write_text("{cut", encoding="utf-8")
    with pytest.raises(ValueError, match="one.json is not a JSON file; delete it"):
        finished(path, {})


def test_stored_results_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "sizes" in json.loads(stored_results("cost.json").read_text(encoding="utf-8"))
    with pytest.raises(FileNotFoundError, match="nothing.json is not there: the studies'"):
        stored_results("nothing.json")
