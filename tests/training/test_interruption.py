"""Ctrl-C: nothing is lost, and it is said what is."""

import signal
from dataclasses import replace

import pytest

from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.transforms import PlainTransform
from defdetr_ref.training import TrainingInterrupted, interruption
from tests.training.runs import CONFIG, assert_same_weights, run, timeless


class Pressed(CocoDetection):
    """A data set during whose reading Ctrl-C is pressed: at its read of number `at` (from 1), and as often."""

    at, times, reads = 8, 1, 0

    def __getitem__(self, index):
        self.reads += 1
        if self.reads == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)
        return super().__getitem__(index)


def pressed(drawn, split="train", **attributes):
    dataset = Pressed(drawn[f"{split}_images"], drawn[f"{split}_annotations"], PlainTransform(flip=split == "train"))
    vars(dataset).update(attributes)
    return dataset


@pytest.mark.parametrize("read", [2, 8, 11])  # in the first epoch; in both steps of the second
def test_the_step_is_finished_saved_and_gone_on_from(tmp_path, drawn, sets, read, capfd):
    before = signal.getsignal(signal.SIGINT)
    straight, expected = run(tmp_path / "straight", sets[0], val_set=sets[1])
    with pytest.raises(TrainingInterrupted) as caught:
        run(tmp_path / "cut", pressed(drawn, at=read), val_set=sets[1])
    assert signal.getsignal(signal.SIGINT) is before
    where = {2: "in epoch 1 after 1 of 2 steps", 8: "in epoch 2 after 1 of 2 steps", 11: "after 2 epochs"}[read]
    last = tmp_path / "cut" / "last.pt"
    assert str(caught.value) == f"training stopped {where}; everything is saved in {last}; go on with resume=True"
    assert "press Ctrl-C again to stop at once" in capfd.readouterr().err

    resumed, result = run(tmp_path / "cut", sets[0], val_set=sets[1], resume=True)
    assert_same_weights(resumed, straight)
    assert timeless(result["metrics"]) == timeless(expected["metrics"])


def test_pressed_again_it_stops_at_once(tmp_path, drawn, sets, monkeypatch):
    monkeypatch.setattr(interruption, "SAME_PRESS", -1.0)
    with pytest.raises(TrainingInterrupted, match="after 0 of 2 steps; nothing was saved yet, so start again"):
        run(tmp_path / "first", pressed(drawn, at=1, times=2))
    config = replace(CONFIG, batch_size=2, save_every=0.0)  # 3 steps an epoch; the second epoch's third is under way
    with pytest.raises(TrainingInterrupted) as caught:
        run(tmp_path / "run", pressed(drawn, at=11, times=2), config)
    assert "in epoch 2 after 2 of 3 steps; everything but the last 2 steps is saved in" in str(caught.value)
    straight, _ = run(tmp_path / "straight", sets[0], config)
    assert_same_weights(run(tmp_path / "run", sets[0], config, resume=True)[0], straight)


def test_one_press_that_arrives_twice_is_one(tmp_path, drawn):
    with pytest.raises(TrainingInterrupted, match="after 1 of 2 steps; everything is saved"):
        run(tmp_path, pressed(drawn, at=1, times=2))


def test_an_evaluation_is_left_at_once(tmp_path, drawn, sets, capfd):
    with pytest.raises(TrainingInterrupted, match="training stopped after 1 epoch; everything is saved in"):
        run(tmp_path, sets[0], val_set=pressed(drawn, "val", at=1))
    assert "press Ctrl-C again" not in capfd.readouterr().err
    _, result = run(tmp_path, sets[0], val_set=sets[1], resume=True)
    assert [record["epoch"] for record in result["metrics"]] == [1, 2, 3, 4] and "AP" in result["metrics"][0]


class PressedWhileDeleted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_python_cannot_drop_it():
    """What is raised while an object is deleted goes nowhere; then the end of the next step or epoch asks again."""
    with interruption.Interruptions(speaks=False) as interruptions:
        PressedWhileDeleted()
        with pytest.raises(KeyboardInterrupt):
            with interruptions.deferred():
                pass


@pytest.fixture
def pythons_handler():
    """Of Ctrl-C, as in a terminal; a shell script's processes in the background begin with one that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("pythons_handler")
def test_what_python_dropped_before_a_training_stops_it_after_a_step(tmp_path, sets):
    with interruption.interrupts_remembered():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with interruption.interrupts_remembered():
        PressedWhileDeleted()
        with pytest.raises(TrainingInterrupted, match="in epoch 1 after 1 of 2 steps; everything is saved in"):
            run(tmp_path / "pressed", sets[0], val_set=sets[1])
    with interruption.interrupts_remembered():  # it was pressed for the one before
        run(tmp_path / "not", sets[0], val_set=sets[1])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_ctrl_c_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruption.interrupts_remembered():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
