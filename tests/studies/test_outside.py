"""Other points and levels for zoo:shapes: what is changed, what is written, and what the table says of it."""

import json
from dataclasses import replace

import pytest
import torch

from defdetr_ref.cli import main
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.studies import outside
from defdetr_ref.studies.outside import CHOICES, quick_settings, run_study, star_of_one_size, table

QUICK = quick_settings()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    return folder, run_study(folder / "out", folder / "work", QUICK)


def test_every_choice_has_a_file_and_reads_less_with_fewer_or_shorter_arms(study):
    folder, done = study
    assert [run["name"] for run in done] == list(CHOICES)
    for run in done:
        stored = folder / "out" / f"{run['name']}-seed1.json"
        assert json.loads(stored.read_text(encoding="utf-8")) == run
    assert [path.name for path in (folder / "work").iterdir()] == ["images"]
    # Nothing was learned: what is outside is decided by the star, 1 to K pixels long, on maps of 16, 8 and 4 pixels.
    shares = {run["name"]: run["outside"]["encoder"][0] for run in done}
    assert max(shares["two-points"], shares["finer-levels"], shares["equal-stars"]) < 0.7 * shares["as-shipped"]
    by_name = {run["name"]: run["config"] for run in done}
    assert by_name["two-points"] == {**by_name["as-shipped"], "num_points": 2}
    assert by_name["finer-levels"] == {**by_name["as-shipped"], "feature_strides": [4, 8]}
    assert by_name["equal-stars"] == by_name["as-shipped"]


def test_the_star_is_as_long_in_the_image_on_every_level():
    config = DeformableDETRConfig.preset("compact", num_classes=3, num_levels=4)
    model = DeformableDETR(config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    star_of_one_size(model)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"encoder.layers.{layer}.attention.sampling_offsets.bias" for layer in range(2)}
    for name in changed:
        old, new = (one[name].view(4, 4, 4, 2) for one in (before, after))  # heads, levels, points, x and y
        for level in range(4):
            torch.testing.assert_close(new[:, level], old[:, level] / 2**level)


def test_finished_runs_are_not_done_again(study, monkeypatch):
    folder, done = study
    monkeypatch.setattr(outside, "train", None)
    assert run_study(folder / "out", folder / "work", QUICK) == done
    with pytest.raises(ValueError, match="holds the results of other settings"):
        run_study(folder / "out", folder / "work", replace(QUICK, images=9))


def test_the_command_prints_a_line_for_each_choice(study, monkeypatch, capsys):
    folder, done = study
    monkeypatch.setattr(outside, "train", None)  # all files are there
    assert main(["study", "outside", "--quick", "--out", str(folder / "out"), "--work", str(folder / "work")]) == 0
    assert capsys.readouterr().out.rstrip("\n") == table(done)
    assert main(["study", "outside", "--quick", "--jobs", "2"]) == 2
    assert "--jobs 2: the study outside trains one detector at a time" in capsys.readouterr().err


def test_the_table_has_every_seed_and_the_means_of_sizes_that_are_there():
    runs = [
        {
            "name": "two-points",
            "seed": seed,
            "metrics": {"AP": ap, "AP_small": ap / 2, "AP_medium": ap, "AP_large": large},
            "outside": {"encoder": [share, 0.25], "decoder": [0.9]},
        }
        for seed, ap, large, share in ((2, 0.5, None, 0.2), (1, 0.3, 0.75, 0.4))
    ]
    header, line = table(runs).splitlines()
    assert line.split() == "K = 2 30.0, 50.0 20.0 40.0 75.0 30%, 25%".split()
    assert header.startswith("choice")
    assert table([{**runs[0], "metrics": {**runs[0]["metrics"], "AP_small": None}}]).splitlines()[1].split()[4] == "–"
