"""Short runs: what is written, and that the stored ones are those of the code."""

import json
from dataclasses import replace

import pytest
import torch

from defdetr_ref.cli import main
from defdetr_ref.debugging import runs
from defdetr_ref.debugging.bugs import BUGS, bug_of_case
from defdetr_ref.debugging.runs import Settings, do_run, new_model, overfit, quick_settings, run_study
from defdetr_ref.studies.results import as_json, stored_results

QUICK = quick_settings()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bugs")
    return folder, run_study(folder / "out", folder / "work", QUICK)


def test_every_bug_and_every_seed_has_a_file(study):
    folder, done = study
    assert set(done) == {"healthy-1", *(f"case-{bug.case}" for bug in BUGS.values())}
    for name, content in done.items():
        assert json.loads((folder / "out" / f"{name}.json").read_text(encoding="utf-8")) == content
    assert not list((folder / "work").iterdir())


def test_finished_runs_are_not_done_again(study, monkeypatch):
    folder, done = study
    monkeypatch.setattr(runs, "train", None)
    assert run_study(folder / "out", folder / "work", QUICK) == done
    with pytest.raises(ValueError, match="holds the results of other settings"):
        run_study(folder / "out", folder / "work", replace(QUICK, data_seed=9))


def test_the_command_prints_a_table_that_names_no_bug(study, monkeypatch, capsys):
    folder, _ = study
    monkeypatch.setattr(runs, "train", None)  # all files are there
    assert main(["study", "bugs", "--quick", "--out", str(folder / "out"), "--work", str(folder / "work")]) == 0
    printed = capsys.readouterr().out
    assert all(f"case {bug.case}" in printed for bug in BUGS.values())
    assert not [name for name in BUGS if name in printed]
    assert main(["study", "bugs", "--quick", "--jobs", "2"]) == 2
    assert "--jobs 2: the study bugs plants them into this process" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_run(study, tmp_path):
    again = do_run("healthy-1", QUICK, tmp_path, tmp_path / "work", seed=1)
    assert {name: value for name, value in again.items() if name != "cpu_seconds"} == {
        name: value for name, value in study[1]["healthy-1"].items() if name != "cpu_seconds"
    }


def test_the_backbone_does_not_learn():
    model = new_model(QUICK, seed=1).train()
    assert not any(one.requires_grad for one in model.backbone.parameters())
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model.backbone(torch.randn(2, 3, 64, 96))
    assert all(torch.equal(before[name], value) for name, value in model.backbone.state_dict().items())


def test_steps_on_few_images_bring_their_loss_down():
    rows = overfit(QUICK, 20, seed=1, images=4)
    assert rows["step"] == [1, 10, 20]
    assert rows["loss"]["total"][-1] < 0.9 * rows["loss"]["total"][0]


# ------------------------------------------------------------------------------------------ the stored results


@pytest.fixture(scope="module")
def stored():
    folder = stored_results("bugs")
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}


def test_all_stored_runs_have_the_settings_of_the_code(stored):
    settings = Settings()
    names = {f"healthy-{seed}": seed for seed in settings.seeds}
    names |= {f"case-{bug.case}": settings.seeds[0] for bug in BUGS.values()}
    assert set(stored) == set(names)
    for name, seed in names.items():
        assert stored[name]["settings"] == as_json(settings.shared())
        assert (stored[name]["name"], stored[name]["seed"]) == (name, seed)
        assert [row["epoch"] for row in stored[name]["epochs"]] == list(range(settings.train.epochs + 1))


def test_no_stored_run_names_its_bug(stored):
    for content in stored.values():
        text = json.dumps(content)
        assert not [name for name in BUGS if name in text]


def test_healthy_runs_beat_those_with_a_bug_that_shows(stored):
    healthy = [stored[f"healthy-{seed}"]["epochs"][-1]["AP"] for seed in Settings().seeds]
    for bug in BUGS.values():
        ap = stored[f"case-{bug.case}"]["epochs"][-1]["AP"]
        if bug_of_case(bug.case) != "detach forgotten":
            assert ap < min(healthy), bug.case
