"""A plugin of pytest, for `make test-notebooks`: notebooks that are tested at once start their kernels in turn.

Jupyter finds free ports for a kernel and only then starts it: two kernels that start at once may be given the same.
"""

import getpass
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock


def lock() -> FileLock:
    """One for each user, so that two runs beside each other take turns as well."""
    return FileLock(Path(tempfile.gettempdir()) / f"defdetr-kernels-of-{getpass.getuser()}.lock")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """nbval starts the kernel of a notebook before its first cell, and goes on when it answers on all its ports.

    Later cells find it running, and wait for nobody.
    """
    if getattr(item.parent, "kernel", None) is not None:
        return (yield)
    with lock():
        return (yield)
