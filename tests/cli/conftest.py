"""A drawn set and a trained model for all tests of the command line."""

import pytest

from tests.cli.commands import FAST, SMALL, defdetr


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "shapes"
    assert defdetr("draw", "shapes", "--out", folder, "--train", 4, "--val", 3, "--size", 64) == 0
    return folder


@pytest.fixture(scope="session")
def trained(drawn):
    folder = drawn.parent / "runs" / "first"
    assert defdetr("train", "--data", drawn, "--out", folder, *FAST, *SMALL, "--lr", "1e-3") == 0
    return folder
