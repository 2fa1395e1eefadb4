"""The convergence study with a few images and epochs: what is equal, what is searched, what is written, resuming."""

from dataclasses import replace

import pytest
import torch

from defdetr_ref.cli import main
from defdetr_ref.studies import convergence, one_run
from defdetr_ref.studies.convergence import read_runs, run_study, table
from defdetr_ref.studies.one_run import Measurement, StudyData, count_sizes, do_run, new_model
from defdetr_ref.studies.plan import (
    MODELS,
    Run,
    Settings,
    ablation_runs,
    best_rates,
    drawn_canvas,
    final_runs,
    quick_settings,
    search_runs,
    small_canvas_settings,
)
from defdetr_ref.studies.timing import threads

SMALL = quick_settings()
SECOND = replace(SMALL, canvas=drawn_canvas(96, 3), val_images=5)
RUN = Run("final", "detr-16", 1e-3, seed=4, epochs=2)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """(folder of the results, folder of the work, contents of all runs by canvas)"""
    folder = tmp_path_factory.mktemp("study")
    canvases = {"small": SMALL, "second": SECOND}
    return folder / "out", folder / "work", run_study(folder / "out", folder / "work", canvases)


@pytest.fixture(scope="module")
def data(study):
    return StudyData(SMALL, study[1])


def timeless(content):
    """Without what differs from call to call."""
    rows = [{name: value for name, value in row.items() if "seconds" not in name} for row in content["epochs"]]
    return {"run": content["run"], "epochs": rows, "parameters": content["parameters"]}


# ------------------------------------------------------------------------------------------ the plan


def test_the_models_are_equal_but_for_the_attention(data):
    models = [new_model(Run("final", name, 1e-3, 0, 1), SMALL, data) for name in ("deformable-16", "detr-16")]
    assert models[0].config == models[1].config and not models[0].config.box_refine and not models[0].config.two_stage
    a, b = (model.pyramid.state_dict() for model in models)
    assert a.keys() == b.keys() and [key for key in a if not torch.equal(a[key], b[key])] == []
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in models]
    assert abs(sizes[0] - sizes[1]) < 0.05 * sizes[0]


@pytest.mark.parametrize("settings", [Settings(), small_canvas_settings()], ids=["96px", "64px"])
def test_a_full_study_has_seeds_enough_and_ten_times_the_epochs_for_detr(settings):
    runs = final_runs(settings, dict.fromkeys(settings.seeds, 1e-3))
    seeds = {model: {run.seed for run in runs if run.model == model} for model in settings.seeds}
    assert all(len(found) >= 3 for found in seeds.values())
    assert min(len(seeds[model]) for model in convergence.MAIN_PAIR) >= 5
    assert len({run.name for run in runs}) == len(runs)
    epochs = {run.model: run.epochs for run in runs}
    assert epochs["detr-16"] == epochs["detr-8"] == 10 * epochs["deformable"]
    assert not {run.seed for run in search_runs(settings, MODELS)} & {run.seed for run in runs}


def test_rates_are_searched_without_a_drop_and_final_runs_have_one():
    searched, final = search_runs(Settings(), MODELS), final_runs(Settings(), {"detr-16": 1e-3})
    for model in MODELS:
        assert len({run.lr for run in searched if run.model == model}) >= 3
        assert len({run.seed for run in searched if run.model == model}) >= 2
    assert all(run.train_config(Settings()).drop_epoch == run.epochs for run in searched)
    assert {run.train_config(Settings()).drop_epoch for run in final} == {None}


@pytest.mark.slow
def test_every_size_class_has_three_hundred_objects():
    from defdetr_ref.studies.pictures import draw_pictures

    for settings in (Settings(), small_canvas_settings()):
        pictures = draw_pictures(settings.canvas, settings.val_images, settings.data_seed + one_run.VAL_SEED_OFFSET)
        assert min(count_sizes(pictures).values()) >= 300


def searched(model, lr, ap, stage="search"):
    return {"run": {"stage": stage, "model": model, "lr": lr}, "epochs": [{"AP": 0.9}, {"AP": ap}]}


def test_the_rate_whose_worse_seed_is_best_is_taken_for_each_model():
    results = [
        searched("detr-16", 0.1, 0.5),
        searched("detr-16", 0.1, 0.01),
        searched("detr-16", 0.2, 0.30),
        searched("detr-16", 0.2, 0.31),
        searched("detr-16", 0.3, 0.29),
        searched("detr-16", 0.3, 0.40),
        searched("detr-16", 0.4, 0.99, stage="final"),
        searched("deformable", 0.3, None),
        searched("deformable", 0.2, None),
    ]
    assert best_rates(results) == {"detr-16": 0.2, "deformable": 0.2}


def test_final_runs_come_seed_by_seed():
    runs = final_runs(SMALL, {"deformable": 0.1, "detr-16": 0.2, "detr-8": 0.3})
    order = [(run.model, run.seed, run.lr) for run in runs]
    assert order == [("deformable", 11, 0.1), ("detr-16", 11, 0.2), ("detr-8", 11, 0.3), ("deformable", 12, 0.1),
                     ("detr-16", 12, 0.2)]  # fmt: skip


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="canvas is 48 × 64 px.*must be square"):
        replace(SMALL, canvas=replace(SMALL.canvas, image_size=(48, 64)))


def test_an_unknown_variant_is_told(tmp_path):
    with pytest.raises(ValueError, match="no variant 'dense'; choose from deformable, "):
        do_run(Run("final", "dense", 1e-3, 0, 1), SMALL, tmp_path, tmp_path)


# ------------------------------------------------------------------------------------------ files


def test_a_study_writes_a_file_for_every_run_and_leaves_no_checkpoint(study):
    out, work, results = study
    rates = best_rates(results["small"])
    wanted = {
        "small": [*search_runs(SMALL, MODELS), *final_runs(SMALL, rates)],
        "second": final_runs(SECOND, rates),
    }
    for canvas, runs in wanted.items():
        assert sorted(path.name for path in (out / canvas).iterdir()) == sorted(f"{run.name}.json" for run in runs)
        assert len(read_runs(out / canvas)) == len(results[canvas]) == len(runs)
    assert {path.name.split("-")[0] for path in work.iterdir()} == {"features"}


def test_a_file_holds_everything_that_made_its_numbers(study):
    for content in study[2]["small"]:
        assert {"run", "train", "settings", "epochs", "parameters", "objects", "machine", "versions"} <= content.keys()
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
    monkeypatch.setattr(convergence, "StudyData", None)  # so would drawing
    assert run_study(out, work, {"small": SMALL, "second": SECOND}) == results


def test_results_of_other_settings_are_not_overwritten(study):
    out, work, _ = study
    with pytest.raises(ValueError, match="holds the results of other settings.*settings"):
        run_study(out, work, {"small": replace(SMALL, focus_images=2)})


def test_the_table_has_a_line_for_every_final_run_and_a_mean(study):
    lines = table(study[2]["small"]).splitlines()
    assert len(lines) == 1 + sum(len(seeds) + 1 for seeds in SMALL.seeds.values())
    assert lines[0].split()[4:] == list(convergence.SHOWN)


def test_the_mean_is_the_mean():
    rows = {name: value for name, value in zip(convergence.SHOWN, (0.1, 0.2, None, 0.4, 0.5), strict=True)}
    results = [
        {
            "run": {"stage": "final", "model": "detr-8", "lr": 0.1, "seed": seed, "epochs": 1},
            "epochs": [{**rows, "AP": ap}],
        }
        for seed, ap in enumerate((0.1, 0.4))
    ]
    wanted = "DETR, stride 8 mean 25.0 20.0 0.0 40.0 50.0".split()
    assert table(results).splitlines()[3].split() == wanted


# ------------------------------------------------------------------------------------------ one run


def test_a_run_cut_off_goes_on_from_its_last_epoch(study, data, tmp_path, monkeypatch):
    whole = do_run(RUN, SMALL, tmp_path / "whole", tmp_path, lambda: data)
    measured, original = [], Measurement.__call__

    def stop_after_the_first_epoch(self, model):
        if len(measured) == 2:  # before training, and after an epoch
            raise KeyboardInterrupt
        measured.append(original(self, model))
        return measured[-1]

    monkeypatch.setattr(Measurement, "__call__", stop_after_the_first_epoch)
    with pytest.raises(KeyboardInterrupt):
        do_run(RUN, SMALL, tmp_path / "cut", tmp_path, lambda: data)
    assert not (tmp_path / "cut").exists()  # nothing half-written
    monkeypatch.setattr(Measurement, "__call__", lambda self, model: measured.append(1) or original(self, model))
    again = do_run(RUN, SMALL, tmp_path / "cut", tmp_path, lambda: data)
    assert len(measured) == 4  # the untrained model again, and the second epoch
    assert timeless(again) == timeless(whole)


def test_a_run_learns(data, tmp_path):
    run, settings = Run("final", "deformable", 4e-3, seed=4, epochs=6), replace(SMALL, warmup={"deformable": 2})
    losses = [row["total"] for row in do_run(run, settings, tmp_path, tmp_path, lambda: data)["epochs"][1:]]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
def test_runs_in_other_processes_give_the_same(tmp_path, study):
    one_seed = replace(
        SMALL, seeds={"deformable": (11,), "detr-16": (11,)}, rates={m: SMALL.rates[m][:1] for m in MODELS}
    )
    several = run_study(tmp_path / "out", study[1], {"small": one_seed}, jobs=2)["small"]
    assert len(several) == 6
    with threads(max(1, torch.get_num_threads() // 2)):  # as each of the two processes; more would round otherwise
        alone = do_run(search_runs(one_seed, MODELS)[1], one_seed, tmp_path / "alone", study[1])
    (same,) = (one for one in several if one["run"] == alone["run"])
    assert timeless(same) == timeless(alone)


def test_the_measurement_leaves_the_model_as_it_is(data):
    model = new_model(Run("final", "deformable", 1e-3, 0, 1), SMALL, data).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Measurement(torch.stack([data.sets(0)[1][index][0] for index in range(2)]))(model)
    assert model.training
    assert [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])] == []


def test_dense_attention_starts_even_and_deformable_attention_near(data):
    images = torch.stack([data.sets(0)[1][index][0] for index in range(3)])
    found = {
        name: Measurement(images)(new_model(Run("final", name, 1e-3, 0, 1), SMALL, data))
        for name in ("detr-8", "deformable")
    }
    assert min(found["detr-8"]["encoder_entropy"]) > 0.85 > 0.75 > max(found["deformable"]["encoder_entropy"])
    assert max(found["deformable"]["encoder_spread"]) < min(found["detr-8"]["encoder_spread"])


def test_an_ablation_runs_every_variant_with_every_seed_at_one_rate():
    runs = ablation_runs(Settings(), 4e-3, ("fpn", "refined"), (1, 2, 3))
    assert {(run.model, run.seed) for run in runs} == {
        (name, seed) for name in ("fpn", "refined") for seed in (1, 2, 3)
    }
    assert {(run.lr, run.epochs) for run in runs} == {(4e-3, 10)}


# ------------------------------------------------------------------------------------------ the command


def test_impossible_commands_are_told_in_one_line(tmp_path, capsys):
    folders = ["--out", str(tmp_path), "--work", str(tmp_path)]
    assert main(["study", "convergence", "--jobs", "0", *folders]) == 2
    assert main(["study", "small-objects", "--jobs", "2", *folders]) == 2
    assert main(["study", "speed"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and "jobs is 0" in lines[0] and "--jobs 2" in lines[1] and "speed" in lines[2]


def test_no_results_are_told_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run; make some with: defdetr study convergence"):
        read_runs(tmp_path)
