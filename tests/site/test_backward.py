"""The numbers of docs/backward.md: the code in it is run, and its answers compared."""

import doctest

from tests.site.building import DOCS


def test_the_example_by_hand_is_right():
    found = doctest.testfile(str(DOCS / "backward.md"), module_relative=False, encoding="utf-8")
    assert found.failed == 0 and found.attempted >= 10
