"""A training that is shared by processes of this machine."""

import os
from dataclasses import replace

import pytest
import torch

from defdetr_ref import checkpoints
from defdetr_ref.data.drawn import DrawnDataset
from defdetr_ref.training import NonFiniteLoss, train_in_processes
from defdetr_ref.training.loop import train
from tests.training.runs import CONFIG, new_model, timeless

TWO = replace(CONFIG, epochs=2, batch_size=2)


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(tmp_path, sets):
    one_step = replace(TWO, batch_size=6)  # in each epoch; Adam amplifies rounding from step to step
    results, models = {}, {}
    for processes in (1, 2):
        models[processes] = new_model(dropout=0.0)
        results[processes] = train_in_processes(
            processes, models[processes], sets[0], tmp_path / str(processes), one_step, val_set=sets[1], progress=False
        )
    one, two = (timeless(results[processes]["metrics"]) for processes in (1, 2))
    assert len(two) == 2 and two[0] == pytest.approx(one[0], rel=1e-4)
    assert results[2]["checkpoint"] == tmp_path / "2" / "last.pt"
    last = checkpoints.read(tmp_path / "2" / "last.pt")["model"]
    assert all(torch.equal(last[key], tensor) for key, tensor in models[2].state_dict().items())


@pytest.mark.slow
def test_a_shared_run_is_resumed(tmp_path, sets):
    first = new_model(dropout=0.0)
    train_in_processes(2, first, sets[0], tmp_path, replace(TWO, epochs=1), progress=False)
    second = new_model(dropout=0.0)
    result = train_in_processes(2, second, sets[0], tmp_path, TWO, resume=True, progress=False)
    assert [record["epoch"] for record in result["metrics"]] == [1, 2]


@pytest.mark.slow
def test_the_error_of_a_process_is_the_caller_s(tmp_path, sets):
    train(new_model(), sets[0], tmp_path, replace(TWO, epochs=1), progress=False)
    with pytest.raises(ValueError, match="already holds a run; resume it or choose another folder"):
        train_in_processes(2, new_model(), sets[0], tmp_path, TWO, progress=False)
    broken = new_model()
    torch.nn.init.constant_(broken.pyramid.level_embed, float("nan"))
    with pytest.raises(NonFiniteLoss, match="training stopped at step 1 "):
        train_in_processes(2, broken, sets[0], tmp_path / "other", TWO, progress=False)


def die(rng):
    os._exit(7)


@pytest.mark.slow
def test_a_process_that_dies_is_told(tmp_path):
    dataset = DrawnDataset(die, {1: "a"}, images=4)
    with pytest.raises(RuntimeError, match=r"ended with code 7; the run in .* can be resumed"):
        train_in_processes(2, new_model(), dataset, tmp_path, TWO, progress=False)
