"""The curves, with a stand-in for tensorboard, which need not be installed."""

import importlib.util
import sys
from dataclasses import replace
from types import ModuleType

import pytest

from defdetr_ref.training.scalar_log import scalar_log
from tests.training.runs import CONFIG, run


class Writer:
    """What SummaryWriter is asked for."""

    made: list["Writer"] = []

    def __init__(self, log_dir, purge_step):
        self.log_dir, self.purge_step, self.scalars, self.closed = log_dir, purge_step, [], False
        self.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def add_scalar(self, *scalar):
        self.scalars.append(scalar)

    def flush(self):
        pass


@pytest.fixture
def tensorboard(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name == "tensorboard" else found(name))
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Writer, "made", [])
    return Writer.made


def test_every_number_of_every_epoch_is_logged(tmp_path, sets, tensorboard):
    _, result = run(tmp_path, sets[0], replace(CONFIG, epochs=2), val_set=sets[1])
    (writer,) = tensorboard
    assert writer.closed and writer.log_dir == str(tmp_path / "tensorboard") and writer.purge_step == 1
    expected = [
        (name, value, record["epoch"])
        for record in result["metrics"]
        for name, value in record.items()
        if name != "epoch" and value is not None
    ]
    assert writer.scalars == expected and {"total", "AP", "lr"} < {name for name, _, _ in expected}


def test_without_it_nothing_is_written(tmp_path, tensorboard, monkeypatch):
    with scalar_log(tmp_path, 3, is_writing=False) as log:
        log({"epoch": 1, "total": 2.0})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with scalar_log(tmp_path, 3, is_writing=True) as log:
        log({"epoch": 1, "total": 2.0})
    assert tensorboard == [] and list(tmp_path.iterdir()) == []
