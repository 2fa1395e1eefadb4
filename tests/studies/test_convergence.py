"""The convergence study with a few images and epochs: what is equal, what is searched, what is written, resuming."""

from dataclasses import replace

import pytest
import torch

from defdetr_ref.cli import main
from defdetr_ref.studies import convergence, one_run
from defdetr_ref.studies.convergence import read_runs, run_study, table
from defdetr_ref.studies.one_run import Measurement, do_run, draw_data, new_model
from defdetr_ref.studies.plan import MODELS, Run, Settings, best_rates, final_runs, quick_settings, search_runs
from defdetr_ref.studies.timing import threads

SMALL = replace(
    quick_settings(),
    canvas=replace(quick_settings().canvas, image_size=(48, 64), max_side=30),
    train_images=8,
    val_images=4,
    batch_size=4,
)
RUN = Run("final", "dense", 1e-3, seed=4, epochs=2)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """(folder of the results, folder of the work, contents of all runs)"""
    folder = tmp_path_factory.mktemp("study")
    return folder / "out", folder / "work", run_study(folder / "out", folder / "work", SMALL)


def timeless(content):
    """Without what differs from call to call."""
    rows = [{name: value for name, value in row.items() if "seconds" not in name} for row in content["epochs"]]
    return {"run": content["run"], "epochs": rows, "parameters": content["parameters"]}


# ------------------------------------------------------------------------------------------ the plan


def test_both_models_are_equal_but_for_the_attention():
    models = [new_model(Run("final", name, 1e-3, 0, 1), SMALL) for name in MODELS]
    assert models[0].config == models[1].config and not models[0].config.box_refine and not models[0].config.two_stage
    for part in ("backbone", "pyramid"):
        a, b = (getattr(model, part).state_dict() for model in models)
        assert a.keys() == b.keys() and [a[key].shape for key in a] == [b[key].shape for key in b]
    equal = torch.equal(*(next(model.backbone.parameters()) for model in models))
    assert equal  # the backbone is built first, so equal seeds start it equally
    sizes = [sum(parameter.numel() for parameter in new_model(run, Settings()).parameters())
             for run in final_runs(Settings(), dict.fromkeys(MODELS, 1e-3))[:2]]  # fmt: skip
    assert abs(sizes[0] - sizes[1]) < 0.01 * sizes[0]


def test_the_full_study_has_several_rates_and_three_seeds_a_model():
    settings = Settings()
    searched, final = search_runs(settings), final_runs(settings, {"deformable": 1e-3, "dense": 2e-3})
    for model in MODELS:
        assert len({run.lr for run in searched if run.model == model}) >= 3
        assert len({run.seed for run in final if run.model == model}) >= 3
        assert len({run.lr for run in final if run.model == model}) == 1
    assert {run.lr for run in final} == {1e-3, 2e-3}
    assert not {run.seed for run in searched} & {run.seed for run in final}
    assert len({run.name for run in searched + final}) == len(searched) + len(final)
    configs = [replace(run.train_config(settings), lr=1.0, seed=0) for run in final]
    assert configs == [configs[0]] * len(final)


def searched(model, lr, *losses, stage="search"):
    return {"run": {"stage": stage, "model": model, "lr": lr}, "epochs": [{"total": loss} for loss in losses]}


def test_the_rate_with_the_lowest_last_loss_is_taken_for_each_model():
    results = [
        searched("dense", 0.1, 2.0, 3.0),
        searched("dense", 0.2, 9.0, 2.5),
        searched("dense", 0.3, 4.0, 4.0),
        searched("dense", 0.4, 1.0, stage="final"),
        searched("deformable", 0.3, 5.0),
    ]
    assert best_rates(results) == {"dense": 0.2, "deformable": 0.3}


# ------------------------------------------------------------------------------------------ files


def test_a_study_writes_a_file_for_every_run_and_leaves_no_checkpoint(study):
    out, work, results = study
    wanted = [run.name for run in [*search_runs(SMALL), *final_runs(SMALL, best_rates(results))]]
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{name}.json" for name in wanted)
    assert [path.name for path in work.iterdir()] == ["shapes"]
    assert sorted(one["run"]["seed"] for one in read_runs(out)) == sorted(one["run"]["seed"] for one in results)


def test_a_file_holds_everything_that_made_its_numbers(study):
    for content in study[2]:
        assert {"run", "train", "settings", "epochs", "parameters", "seconds", "machine", "versions"} <= content.keys()
        assert content["train"]["seed"] == content["run"]["seed"] and content["train"]["lr"] == content["run"]["lr"]
        assert [row["epoch"] for row in content["epochs"]] == list(range(content["run"]["epochs"] + 1))
        for row in content["epochs"][1:]:
            assert {"AP", "AP_small", "AP_medium", "AP_large", "total", "seconds", "cpu_seconds"} <= row.keys()
        for row in content["epochs"]:
            layers = [len(row[f"{part}_{what}"]) for part in ("encoder", "decoder") for what in ("entropy", "spread")]
            assert layers == [1, 1, 2, 2]


def test_a_finished_study_is_not_computed_again(study, monkeypatch):
    out, work, results = study
    monkeypatch.setattr(one_run, "train", None)  # calling it would fail
    assert run_study(out, work, SMALL) == results


def test_results_of_other_settings_are_not_overwritten(study):
    out, work, _ = study
    with pytest.raises(ValueError, match="holds the results of other settings.*settings"):
        run_study(out, work, replace(SMALL, focus_images=2))


def test_the_table_has_a_line_for_every_final_run_and_a_mean(study):
    lines = table(study[2]).splitlines()
    assert len(lines) == 1 + len(MODELS) * (len(SMALL.seeds) + 1) and lines[0].split()[3:] == list(convergence.SHOWN)
    assert sum("mean" in line for line in lines) == len(MODELS)


def test_the_mean_is_the_mean():
    rows = {name: value for name, value in zip(convergence.SHOWN, (0.1, 0.2, None, 0.4, 0.5), strict=True)}
    results = [
        {"run": {"stage": "final", "model": model, "lr": 0.1, "seed": seed}, "epochs": [{**rows, "AP": ap}]}
        for model in MODELS
        for seed, ap in enumerate((0.1, 0.4))
    ]
    assert table(results).splitlines()[3].split() == ["deformable", "mean", "25.0", "20.0", "0.0", "40.0", "50.0"]


# ------------------------------------------------------------------------------------------ one run


def test_a_run_cut_off_goes_on_from_its_last_epoch(tmp_path, monkeypatch):
    whole = do_run(RUN, SMALL, tmp_path / "whole", tmp_path)
    measured, original = [], Measurement.__call__

    def stop_after_the_first_epoch(self, model):
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(original(self, model))
        return measured[-1]

    monkeypatch.setattr(Measurement, "__call__", stop_after_the_first_epoch)
    with pytest.raises(KeyboardInterrupt):
        do_run(RUN, SMALL, tmp_path / "cut", tmp_path)
    assert not (tmp_path / "cut").exists()  # nothing half-written
    monkeypatch.setattr(Measurement, "__call__", lambda self, model: measured.append(1) or original(self, model))
    again = do_run(RUN, SMALL, tmp_path / "cut", tmp_path)
    assert len(measured) == 2  # one epoch before, one after
    assert timeless(again) == timeless(whole)


@pytest.mark.slow
def test_runs_in_other_processes_give_the_same(tmp_path, study):
    one_seed = replace(SMALL, seeds=SMALL.seeds[:1], rates=SMALL.rates[:1], epochs=1)
    several = run_study(tmp_path / "out", tmp_path / "work", one_seed, jobs=2)
    assert len(several) == 4
    with threads(max(1, torch.get_num_threads() // 2)):  # as each of the two processes; more would round otherwise
        alone = do_run(search_runs(one_seed)[1], one_seed, tmp_path / "alone", tmp_path / "work")
    assert timeless(several[1]) == timeless(alone)


def test_the_measurement_leaves_the_model_as_it_is(tmp_path):
    model = new_model(Run("final", "deformable", 1e-3, 0, 1), SMALL).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.randn(2, 3, 48, 64)
    Measurement(images)(model)
    assert model.training
    assert [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])] == []


def test_dense_attention_starts_even_and_deformable_attention_near(tmp_path):
    images = torch.stack([image for image, _ in one_run._open(draw_data(SMALL, tmp_path))[1]])
    found = {name: Measurement(images).attention(new_model(Run("final", name, 1e-3, 0, 1), SMALL)) for name in MODELS}
    assert min(found["dense"]["encoder_entropy"]) > 0.85 > 0.6 > max(found["deformable"]["encoder_entropy"])
    assert max(found["deformable"]["encoder_spread"]) < min(found["dense"]["encoder_spread"])


# ------------------------------------------------------------------------------------------ the command


def test_impossible_commands_are_told_in_one_line(tmp_path, capsys):
    assert main(["study", "convergence", "--jobs", "0", "--out", str(tmp_path), "--work", str(tmp_path)]) == 2
    assert main(["study", "speed"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "jobs is 0" in lines[0] and "speed" in lines[1]


def test_no_results_are_told_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run; make some with: defdetr study convergence"):
        read_runs(tmp_path)
