"""While one process sets a test up, no other does."""

import contextlib

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
