"""While one process starts a kernel, no other does."""

import contextlib
from types import SimpleNamespace

import pytest
from filelock import Timeout

from tests.course.notebook_kernels import lock, pytest_runtest_setup


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def is_free() -> bool:
    with contextlib.suppress(Timeout), lock().acquire(blocking=False):
        return True
    return False


def test_kernels_start_in_turn(request):
    setup = pytest_runtest_setup(request.node)
    next(setup)
    assert not is_free()
    with pytest.raises(StopIteration):
        setup.send(None)
    assert is_free()


def test_a_kernel_that_does_not_start_lets_the_next_one_start(request):
    setup = pytest_runtest_setup(request.node)
    next(setup)
    with pytest.raises(RuntimeError, match="kernel died"):
        setup.throw(RuntimeError("kernel died"))
    assert is_free()


def test_a_cell_whose_kernel_runs_waits_for_nobody():
    setup = pytest_runtest_setup(SimpleNamespace(parent=SimpleNamespace(kernel="runs")))
    next(setup)
    assert is_free()
    with pytest.raises(StopIteration):
        setup.send(None)
