"""The demo from drawing to report, with a few images and one epoch."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from defdetr_ref import zoo
from defdetr_ref.cli.draw import SETS
from defdetr_ref.data.drawn_sets import DRAWN_SETS
from defdetr_ref.demo import report
from defdetr_ref.demo import run as demo
from defdetr_ref.evaluation import METRICS

SHOWN = ("predictions.png", "attention.png", "refinement.png", "curves.png", "explorer.html")


def shown(data: str) -> set[str]:
    """The files that the page shows: where the zoo has a detector for the data, its predictions, too."""
    return {*SHOWN, *(["shipped.png"] if data in zoo.names() else [])}


def test_unknown_data_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=f"data is 'coco'; choose {' or '.join(DRAWN_SETS)}"):
        demo.run(tmp_path / "out", data="coco")
    assert not (tmp_path / "out").exists()


def test_what_can_be_drawn_is_what_the_demo_takes():
    wanted = "SETS in defdetr_ref/cli/draw.py and DRAWN_SETS in defdetr_ref/data/drawn_sets.py"
    assert list(DRAWN_SETS) == list(SETS), f"{wanted} must name the same sets, in the same order"


def test_the_seed_reaches_the_training_and_the_backbone_learns():
    for quick in (False, True):
        config = demo.demo_train_config(seed=7, quick=quick)
        assert config.seed == 7 and config.backbone_lr_factor == 1  # it starts from random weights
    assert demo.demo_model_config(6).num_classes == 6
    assert demo.demo_image_counts()["val"] == 500


@pytest.mark.parametrize(
    "seconds, text", [(0.04, "0.0 s"), (59.4, "59.4 s"), (59.7, "1 min 0 s"), (725.2, "12 min 5 s")]
)
def test_durations_read_well(seconds, text):
    assert report.duration(seconds) == text


def test_another_model_in_the_folder_is_refused(tmp_path):
    config = demo.demo_model_config(6)
    (tmp_path / "config.json").write_text(
        json.dumps({"model": {**dataclasses.asdict(config), "num_classes": 11}}), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="holds the run of another model.*num_classes is 11, not 6"):
        demo._require_same_model(tmp_path, config)
    (tmp_path / "config.json").write_text(json.dumps({"model": dataclasses.asdict(config)}), encoding="utf-8")
    demo._require_same_model(tmp_path, config)


@pytest.fixture(scope="module")
def shapes_run(tmp_path_factory) -> Path:
    """The folder of a finished quick run, with the parts out/ and data/."""
    folder = tmp_path_factory.mktemp("shapes")
    demo.run(folder / "out", seed=3, quick=True, data_folder=folder / "data")
    return folder


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory) -> Path:
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("digits")
    demo.run(folder / "out", data="digits", seed=3, quick=True, data_folder=folder / "data")
    return folder


@pytest.fixture(params=["shapes", "digits"])
def finished(request) -> tuple[str, Path]:
    return request.param, request.getfixturevalue(f"{request.param}_run")


@pytest.mark.slow
def test_every_file_is_there(finished):
    data, folder = finished
    for name in ("index.html", "metrics.json", "metrics.jsonl", "config.json", "last.pt", *shown(data)):
        assert (folder / "out" / name).stat().st_size > 0, name


@pytest.mark.slow
def test_metrics_hold_figures_settings_and_times(finished):
    data, folder = finished
    report = json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))
    for name in METRICS:
        assert report[name] is None or 0 <= report[name] <= 1
    assert report["settings"]["data"] == data and report["settings"]["seed"] == 3
    assert report["settings"]["train"]["seed"] == 3 and report["settings"]["model"]["two_stage"]
    assert set(report["seconds"]) == {"draw", "train", "evaluate", "pictures"} and min(report["seconds"].values()) >= 0
    assert report["machine"]["cpu_count"] >= 1 and report["parameters"] > 10_000
    assert {"python", "torch", "defdetr-ref"} <= set(report["versions"])
    assert ("shipped" in report) == (data in zoo.names())


@pytest.mark.slow
def test_the_shipped_detector_is_compared_on_the_same_images(shapes_run):
    report = json.loads((shapes_run / "out" / "metrics.json").read_text(encoding="utf-8"))
    shipped = report["shipped"]
    assert shipped["metrics"]["AP"] > 0.5 > report["AP"] and shipped["steps"] == zoo.card("shapes")["steps"]
    text = (shapes_run / "out" / "index.html").read_text(encoding="utf-8")
    assert f"{100 * shipped['metrics']['AP']:.1f}" in text and f"{shipped['steps']:,}" in text


@pytest.mark.slow
def test_the_page_refers_to_existing_files_beside_it_only(finished):
    data, folder = finished
    text = (folder / "out" / "index.html").read_text(encoding="utf-8")
    files = set(re.findall(r'(?:src|href)="([^"]*)"', text))
    assert files == shown(data)
    assert all((folder / "out" / name).is_file() for name in files)
    assert "http" not in text


@pytest.mark.slow
def test_called_again_it_goes_on_with_the_run(shapes_run, capsys):
    out = shapes_run / "out"
    before = (out / "metrics.jsonl").read_text(encoding="utf-8")
    report = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    (out / "attention.png").unlink()
    assert demo.run(out, seed=3, quick=True, data_folder=shapes_run / "data") == out / "index.html"
    assert (out / "metrics.jsonl").read_text(encoding="utf-8") == before  # nothing was trained again
    again = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert {name: again[name] for name in METRICS} == {name: report[name] for name in METRICS}
    assert again["seconds"]["train"] == report["seconds"]["train"]
    assert (out / "attention.png").is_file()
    story = capsys.readouterr().out
    going_on = "1 epoch of 8 new images; going on with the run"
    for words in ("[1/4] draw 6 images of shapes", going_on, "[4/4]", str(out / "index.html")):
        assert words in story


@pytest.mark.slow
def test_a_run_with_other_settings_is_not_overwritten(shapes_run):
    before = (shapes_run / "out" / "metrics.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="seed=3.*4"):
        demo.run(shapes_run / "out", seed=4, quick=True, data_folder=shapes_run / "data")
    assert (shapes_run / "out" / "metrics.json").read_text(encoding="utf-8") == before
