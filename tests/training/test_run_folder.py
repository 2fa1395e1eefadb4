"""A run's folder: never overwritten by another run, and gone on with to the same numbers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from defdetr_ref import DeformableDETR, DeformableDETRConfig, checkpoints
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.transforms import PlainTransform
from tests.training.runs import CONFIG, SMALL, CutOff, PowerCut, assert_same_weights, new_model, run, timeless


def test_an_old_run_is_not_overwritten(tmp_path, sets):
    run(tmp_path, sets[0], replace(CONFIG, epochs=1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="already holds a run; resume it or choose another folder"):
        run(tmp_path, sets[0], replace(CONFIG, epochs=2))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resuming_nothing(tmp_path, sets):
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        run(tmp_path, sets[0], resume=True)
    assert list(tmp_path.iterdir()) == []


def test_resuming_as_another_run(tmp_path, sets):
    run(tmp_path, sets[0], replace(CONFIG, epochs=1))
    with pytest.raises(ValueError, match=r"started with lr=0.001 and cannot be resumed with 0.01"):
        run(tmp_path, sets[0], replace(CONFIG, lr=0.01), resume=True)
    with pytest.raises(ValueError, match=r"started with d_ffn=40 and cannot be resumed with 44"):
        run(tmp_path, sets[0], CONFIG, model=new_model(d_ffn=44), resume=True)


def other_data(drawn, folder, change):
    """The drawn training set with its json changed by `change`."""
    content = json.loads(Path(drawn["train_annotations"]).read_text(encoding="utf-8"))
    change(content)
    path = folder / "other.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return CocoDetection(drawn["train_images"], path, PlainTransform(flip=True))


def without_the_last_image(content):
    last = content["images"].pop()["id"]
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] != last]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (without_the_last_image, "images"),
        (lambda content: content["annotations"][0]["bbox"].__setitem__(2, 9), "annotations"),
        (lambda content: content["annotations"][-1].update(iscrowd=1), "annotations"),
        (lambda content: content["categories"][1].update(name="box"), "categories"),
    ],
)
def test_resuming_on_other_data(tmp_path, drawn, sets, change, field):
    run(tmp_path / "run", sets[0], replace(CONFIG, epochs=1))
    other = other_data(drawn, tmp_path, change)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match=rf"started on training data whose {field} .* cannot be resumed on training"):
        run(tmp_path / "run", other, CONFIG, resume=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_resuming_with_another_file_transform_option_or_validation_set(tmp_path, drawn, sets):
    images = shutil.copytree(drawn["train_images"], tmp_path / "images")
    train_set = CocoDetection(images, drawn["train_annotations"], PlainTransform(flip=True))
    options = {"augment": "flip"}
    run(tmp_path / "run", train_set, replace(CONFIG, epochs=1), val_set=sets[1], options=options)

    def resume(dataset=train_set, **changed):
        run(tmp_path / "run", dataset, CONFIG, resume=True, **{"val_set": sets[1], "options": options, **changed})

    with pytest.raises(ValueError, match="augment='flip' and cannot be resumed with 'paper'"):
        resume(options={"augment": "paper"})
    with pytest.raises(ValueError, match="on validation data whose images are 3 and"):
        resume(val_set=sets[0])
    other = CocoDetection(images, drawn["train_annotations"], PlainTransform(flip=True, flip_vertical=True))
    with pytest.raises(
        ValueError, match=r"flip_vertical=False.* on training data whose transform .*flip_vertical=True"
    ):
        resume(other)
    first = next(iter(sorted(images.iterdir())))
    first.write_bytes(first.read_bytes() + b" ")
    with pytest.raises(ValueError, match="whose files are '[0-9a-f]{16}' and cannot"):
        resume()


def test_a_run_of_an_earlier_version_goes_on(tmp_path, sets):
    run(tmp_path, sets[0], replace(CONFIG, epochs=1))
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    old = {"train": config["train"], "model": config["model"]}
    del old["train"]["precision"], old["model"]["initial_box"]
    (tmp_path / "config.json").write_text(json.dumps(old), encoding="utf-8")
    with pytest.raises(ValueError, match="precision='fp32' and cannot be resumed with 'bf16'"):
        run(tmp_path, sets[0], replace(CONFIG, precision="bf16"), resume=True)
    assert len(run(tmp_path, sets[0], resume=True)[1]["metrics"]) == CONFIG.epochs


def test_a_damaged_config_is_told(tmp_path, sets):
    run(tmp_path, sets[0], replace(CONFIG, epochs=1))
    (tmp_path / "config.json").write_text('{"train": 3', encoding="utf-8")
    with pytest.raises(ValueError, match="config.json is damaged"):
        run(tmp_path, sets[0], resume=True)


EACH_STEP = 1e-9  # minutes between saves


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema_decay": 0.5},
        {"schedule": "cosine", "warmup_steps": 5},
        {"save_every": EACH_STEP},
        {"save_every": EACH_STEP, "ema_decay": 0.5, "num_workers": 1},
    ],
)
def test_resumed_equals_uninterrupted(tmp_path, drawn, sets, changes):
    config = replace(CONFIG, **changes)
    straight, expected = run(tmp_path / "straight", sets[0], config, val_set=sets[1])

    cut_off = CutOff(drawn["train_images"], drawn["train_annotations"], PlainTransform(flip=True))
    folder = tmp_path / "cut"
    with pytest.raises(PowerCut):
        run(folder, cut_off, config, val_set=sets[1])
    assert checkpoints.read(folder / "last.pt").get("within_epoch", {}).get("position") == (
        1 if "save_every" in changes else None
    )
    with (folder / "metrics.jsonl").open(
        "a", encoding="utf-8"
    ) as file:  # as if it had stopped between metrics and checkpoint
        file.write('{"epoch": 3, "total": 0.0}\n{"epoch": 4, "tot')
    torch.manual_seed(99)  # a new process has other random numbers
    other_start = DeformableDETR(DeformableDETRConfig.preset("tiny", **SMALL))
    resumed, result = run(folder, sets[0], config, model=other_start, val_set=sets[1], resume=True)

    assert_same_weights(resumed, straight)
    assert timeless(result["metrics"]) == timeless(expected["metrics"])
    assert [record["epoch"] for record in result["metrics"]] == [1, 2, 3, 4]
    a, b = (checkpoints.read(tmp_path / name / "last.pt") for name in ("straight", "cut"))
    for index, state in a["optimizer"]["state"].items():
        assert all(torch.equal(state[name], b["optimizer"]["state"][index][name]) for name in state)
    assert a["best_ap"] == b["best_ap"]
    best = [checkpoints.read(tmp_path / name / "best.pt")["epoch"] for name in ("straight", "cut")]
    assert best[0] == best[1]


class Damaged(CocoDetection):
    """A validation set with an image that cannot be read any more in its second use."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        if self.reads > len(self):
            raise ValueError("000002.png cannot be read as an image")
        return super().__getitem__(index)


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.5, "epochs": 2}])
def test_an_evaluation_that_fails_costs_no_training(tmp_path, drawn, sets, changes):
    config = replace(CONFIG, **changes)
    straight, expected = run(tmp_path / "straight", sets[0], config, val_set=sets[1])

    folder, damaged = tmp_path / "cut", Damaged(drawn["val_images"], drawn["val_annotations"])
    with pytest.raises(ValueError, match="cannot be read as an image"):
        run(folder, sets[0], config, val_set=damaged)
    assert checkpoints.read(folder / "last.pt")["epoch"] == 2  # trained, not evaluated
    assert len((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    resumed, result = run(folder, sets[0], config, val_set=sets[1], resume=True)

    assert_same_weights(resumed, straight)
    assert timeless(result["metrics"]) == timeless(expected["metrics"])
    best = [checkpoints.read(tmp_path / name / "best.pt") for name in ("straight", "cut")]
    assert best[0]["epoch"] == best[1]["epoch"] and best[0]["AP"] == best[1]["AP"]


def test_more_epochs_may_be_added(tmp_path, sets):
    straight, expected = run(tmp_path / "straight", sets[0])
    run(tmp_path / "two", sets[0], replace(CONFIG, epochs=2))
    resumed, result = run(tmp_path / "two", sets[0], resume=True)
    assert_same_weights(resumed, straight)
    assert timeless(result["metrics"]) == timeless(expected["metrics"])


def test_a_run_cut_off_in_its_first_epoch_starts_again(tmp_path, drawn, sets):
    straight, _ = run(tmp_path / "straight", sets[0], replace(CONFIG, epochs=2))
    cut_off = CutOff(drawn["train_images"], drawn["train_annotations"], PlainTransform(flip=True))
    cut_off.cut = 0
    with pytest.raises(PowerCut):
        run(tmp_path / "cut", cut_off, replace(CONFIG, epochs=2))
    resumed, result = run(tmp_path / "cut", sets[0], replace(CONFIG, epochs=2), resume=True)
    assert_same_weights(resumed, straight)
    assert len(result["metrics"]) == 2


def test_a_finished_run_has_nothing_left_to_do(tmp_path, sets):
    model, first = run(tmp_path, sets[0], replace(CONFIG, ema_decay=0.9))
    resumed, again = run(tmp_path, sets[0], replace(CONFIG, ema_decay=0.9), resume=True)
    assert again["metrics"] == first["metrics"]
    assert_same_weights(resumed, model)
