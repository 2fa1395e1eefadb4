"""Links to lines of code: they say where the line is, and they cannot rot."""

import re

import pytest
from site_parts.source_lines import LINE_LINK, find_line, renumbered

from tests.site.building import DOCS, ROOT

PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_names_the_line_that_it_shows(path):
    text = path.read_text(encoding="utf-8")
    assert renumbered(text) == text, "lines have moved: run python docs/site_parts/source_lines.py"


def test_every_difference_has_its_line():
    rows = re.findall(r"^\|.*\|$", (DOCS / "paper_and_code.md").read_text(encoding="utf-8"), re.MULTILINE)[2:]
    assert len(rows) >= 10
    for row in rows:
        assert LINE_LINK.search(row), row


def test_each_gradient_of_the_derivation_has_its_line():
    links = LINE_LINK.findall((DOCS / "backward.md").read_text(encoding="utf-8"))
    assert {"grad_value", "grad_weights", "grad_locations"} <= {code.split("[")[0] for code, _, _ in links}


def test_a_line_that_is_gone_or_twice_there_is_refused(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\ny = 2\nprint(x)\nprint(x)\n", encoding="utf-8")
    assert find_line("a.py", "y = 2", tmp_path) == 2
    with pytest.raises(ValueError, match="no lines of a.py hold `z = 3`"):
        find_line("a.py", "z = 3", tmp_path)
    with pytest.raises(ValueError, match="2 lines of a.py"):
        find_line("a.py", "print(x)", tmp_path)
    with pytest.raises(ValueError, match="b.py does not exist"):
        find_line("b.py", "x", tmp_path)


def test_numbers_are_written_anew():
    line = find_line("defdetr_ref/decoder.py", "return boxes.detach()")
    wrong = "see [`return boxes.detach()`](../defdetr_ref/decoder.py#L3)."
    assert renumbered(wrong) == f"see [`return boxes.detach()`](../defdetr_ref/decoder.py#L{line})."
    assert (
        "return boxes.detach()" in (ROOT / "defdetr_ref/decoder.py").read_text(encoding="utf-8").splitlines()[line - 1]
    )
