"""Samples, resuming, the list of changes that nobody can notice, and the report."""

import dataclasses
import json

import pytest

from tests.mutants import __main__ as command
from tests.mutants import campaign, equivalent, report, rooms
from tests.mutants.equivalent import Equivalent

TEXT = "def f(a, b):\n    if a < b:\n        return a + 1\n    return max(a, b) * 2 - 3\n"
MUTANTS = campaign.mutants_of("boxes", TEXT)


def result_of(mutant: campaign.Mutant, outcome="killed", state="now") -> campaign.Result:
    edit = mutant.edit
    return campaign.Result(
        mutant.module, mutant.line, mutant.kind, mutant.old, mutant.new, edit.start, edit.end, edit.text,
        outcome, "", 1.0, state,
    )  # fmt: skip


def test_a_sample_is_the_same_for_the_same_seed_and_has_all_kinds():
    chosen = campaign.sample(MUTANTS, 7, seed=1)
    assert chosen == campaign.sample(MUTANTS, 7, seed=1) != campaign.sample(MUTANTS, 7, seed=2)
    assert len(set(chosen)) == 7 and {mutant.kind for mutant in chosen} == {mutant.kind for mutant in MUTANTS}
    assert set(campaign.sample(MUTANTS, 1000, seed=1)) == set(MUTANTS)


def test_results_come_back_without_a_line_that_was_cut_short(tmp_path):
    path = tmp_path / "folder" / "results.jsonl"
    assert campaign.read_results(path) == {}
    for mutant in MUTANTS[:3]:
        campaign.append_result(path, result_of(mutant))
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    assert set(campaign.read_results(path)) == {campaign.key_of(mutant, "now") for mutant in MUTANTS[:2]}


def test_a_result_is_forgotten_when_the_module_or_its_tests_change(tmp_path):
    for path in ("defdetr_ref/boxes.py", "tests/test_boxes.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("1", encoding="utf-8")
    states = [campaign.state_of("boxes", tmp_path)]
    for path in ("defdetr_ref/boxes.py", "tests/test_boxes.py"):
        (tmp_path / path).write_text("2", encoding="utf-8")
        states.append(campaign.state_of("boxes", tmp_path))
    assert len(set(states)) == 3 and states[2] == campaign.state_of("boxes", tmp_path)


def test_an_interrupted_campaign_goes_on(tmp_path, monkeypatch, capsys):
    """Only what has no result is run, and the report is of all."""
    asked = []

    def run_mutants(todo, states, path, workers):
        asked.append(todo)
        for mutant in todo[: 2 if len(asked) == 1 else None]:
            campaign.append_result(path, result_of(mutant, state=states[mutant.module]))
        if len(asked) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_mutants", run_mutants)
    arguments = ["--only", "boxes", "losses", "--count", "3", "--out", str(tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        command.main(arguments)
    assert command.main(arguments) == 0
    assert len(asked[0]) == 6 and asked[1] == asked[0][2:]
    assert [mutant.module for mutant in asked[0][:2]] == ["boxes", "losses"], "the modules in turn"
    assert command.main(arguments) == 0 and len(asked) == 2
    assert "all                       6    6" in capsys.readouterr().out


def test_under_95_percent_is_a_failure(tmp_path, monkeypatch):
    def survive(todo, states, path, workers):
        for number, mutant in enumerate(todo):
            outcome = "survived" if number < 1 else "killed"
            campaign.append_result(path, result_of(mutant, outcome, states[mutant.module]))

    monkeypatch.setattr(command, "run_mutants", survive)
    monkeypatch.setattr(equivalent, "read_equivalents", lambda: [])
    assert command.main(["--only", "boxes", "--count", "19", "--out", str(tmp_path / "19")]) == 1
    assert command.main(["--only", "boxes", "--count", "20", "--out", str(tmp_path / "20")]) == 0


def test_the_report_names_survivors_and_leaves_out_what_nobody_can_notice():
    results = [result_of(mutant) for mutant in MUTANTS[:5]]
    results[1] = dataclasses.replace(results[1], outcome="survived")
    results[3] = dataclasses.replace(results[3], outcome="survived")
    excused = [Equivalent("boxes", results[3].old, results[3].new, "because")]
    text = report.report(results, excused)
    assert text.splitlines()[1].split() == ["boxes", "3", "4", "1"]
    assert f"defdetr_ref/boxes.py:{results[1].line}: survived: {results[1].kind}\n    - {results[1].old}\n" in text
    assert text.count("survived") == 1 and "75.0%" in text
    assert report.share_killed(report.counted(results, excused)) == 0.75


def test_a_stale_entry_is_told_in_one_sentence():
    (sentence,) = equivalent.outdated([Equivalent("boxes", "x = 1", "x = 2", "because")])
    assert sentence.startswith("equivalent.toml: defdetr_ref/boxes.py has no line `x = 1` that can become `x = 2` any")
    (sentence,) = equivalent.outdated([Equivalent("crates", "x = 1", "x = 2", "because")])
    assert sentence == "equivalent.toml: rooms.py has no module 'crates'; rename it in the entry."


def test_the_list_fits_the_tree():
    entries = equivalent.read_equivalents()
    assert equivalent.outdated(entries) == []
    assert len({entry.key for entry in entries}) == len(entries) and all(len(entry.reason) > 20 for entry in entries)


@pytest.mark.parametrize("module", rooms.ROOMS)
def test_every_room_has_its_module_and_its_tests(module):
    assert (rooms.ROOT / rooms.path_of(module)).is_file(), f"rooms.py: {module} is not in {rooms.PACKAGE}; rename it"
    tests = [argument for argument in campaign.arguments_of(module) if argument.startswith("tests/")]
    assert tests and not {"tests/test_parity.py", "tests/test_hugging_face.py"} & set(tests)
    for test in tests:
        assert (rooms.ROOT / test).is_file(), f"rooms.py: {module} names {test}, which does not exist"


def test_results_are_plain_json(tmp_path):
    campaign.append_result(tmp_path / "results.jsonl", result_of(MUTANTS[0]))
    assert json.loads((tmp_path / "results.jsonl").read_text(encoding="utf-8"))["module"] == "boxes"
