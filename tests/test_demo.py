"""The demo from drawing to report, with a few images and one epoch."""

import json
import re
from pathlib import Path

import pytest

from defdetr_ref import demo
from defdetr_ref.evaluation import FIGURES

PICTURES = ("predictions.png", "attention.png", "refinement.png", "curves.png")


def test_unknown_data_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="data is 'coco'; choose shapes or digits"):
        demo.run(tmp_path / "out", data="coco")
    assert not (tmp_path / "out").exists()


def test_the_seed_reaches_the_training_and_the_backbone_learns():
    for quick in (False, True):
        config = demo.demo_train_config(seed=7, quick=quick)
        assert config.seed == 7 and config.backbone_lr_factor == 1  # it starts from random weights
    assert demo.demo_model_config(6).num_classes == 6
    assert demo.demo_image_counts()["val"] == 500


@pytest.mark.parametrize("seconds, text", [(0.04, "0.0 s"), (59.4, "59.4 s"), (59.7, "1 min 0 s"), (725.2, "12 min 5 s")])
def test_durations_read_well(seconds, text):
    assert demo._duration(seconds) == text


@pytest.fixture(scope="module", params=["shapes", "digits"])
def finished(request, tmp_path_factory) -> tuple[str, Path, Path]:
    folder = tmp_path_factory.mktemp("demo")
    if request.param == "digits":
        pytest.importorskip("sklearn")
    page = demo.run(folder / "out", data=request.param, seed=3, quick=True, data_folder=folder / "data")
    return request.param, folder, page


@pytest.mark.slow
def test_every_file_is_there(finished):
    _, folder, page = finished
    assert page == folder / "out" / "index.html"
    for name in ("index.html", "metrics.json", "metrics.jsonl", "config.json", "last.pt", *PICTURES):
        assert (folder / "out" / name).stat().st_size > 0, name


@pytest.mark.slow
def test_metrics_hold_figures_settings_and_times(finished):
    data, folder, _ = finished
    report = json.loads((folder / "out" / "metrics.json").read_text())
    for name in FIGURES:
        assert report[name] is None or 0 <= report[name] <= 1
    assert report["settings"]["data"] == data and report["settings"]["seed"] == 3
    assert report["settings"]["train"]["seed"] == 3 and report["settings"]["model"]["two_stage"]
    assert set(report["seconds"]) == {"draw", "train", "evaluate", "pictures"} and min(report["seconds"].values()) >= 0
    assert report["machine"]["cpu_count"] >= 1 and report["parameters"] > 10_000
    assert {"python", "torch", "defdetr-ref"} <= set(report["versions"])


@pytest.mark.slow
def test_the_page_refers_to_existing_files_beside_it_only(finished):
    _, folder, page = finished
    text = page.read_text()
    files = set(re.findall(r'(?:src|href)="([^"]*)"', text))
    assert files == set(PICTURES)
    assert all((folder / "out" / name).is_file() for name in files)
    assert "http" not in text


@pytest.mark.slow
def test_called_again_it_goes_on_with_the_run(finished, capsys):
    data, folder, page = finished
    before = (folder / "out" / "metrics.jsonl").read_text()
    report = json.loads((folder / "out" / "metrics.json").read_text())
    (folder / "out" / "attention.png").unlink()
    demo.run(folder / "out", data=data, seed=3, quick=True, data_folder=folder / "data")
    assert (folder / "out" / "metrics.jsonl").read_text() == before  # nothing was trained again
    again = json.loads((folder / "out" / "metrics.json").read_text())
    assert {name: again[name] for name in FIGURES} == {name: report[name] for name in FIGURES}
    assert again["seconds"]["train"] == report["seconds"]["train"]
    assert (folder / "out" / "attention.png").is_file()
    assert "going on with the run" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_with_other_settings_is_not_overwritten(finished):
    data, folder, _ = finished
    before = (folder / "out" / "metrics.json").read_text()
    with pytest.raises(ValueError, match="seed=3.*4"):
        demo.run(folder / "out", data=data, seed=4, quick=True, data_folder=folder / "data")
    assert (folder / "out" / "metrics.json").read_text() == before
