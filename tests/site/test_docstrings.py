"""Docstrings, from plain text to what Sphinx reads."""

import dataclasses

from site_parts.docstrings import fields_of, inline, to_rst


def test_code_is_doubled_and_everything_else_taken_literally():
    assert inline("see `a_b*`, not x_ * y|") == r"see \ ``a_b*``\ , not x\_ \* y\|"


def test_words_between_asterisks_are_emphasised():
    assert inline("the *outer edges*, 2 * 3 * 4 and f(*args)") == r"the *outer edges*, 2 \* 3 \* 4 and f(\*args)"


def test_a_table_becomes_a_table():
    lines = to_rst(["Two:", "", "| a | b |", "|---|---|", "| 1 | `x` |", "|   | 2 |"], set())
    assert lines[:3] == ["Two:", "", ""]
    assert lines[3:] == [
        ".. list-table::", "   :widths: auto", "   :header-rows: 1", "",
        "   * - a", "     - b", "   * - 1", "     - ``x``", "   * -", "     - 2", "",
    ]  # fmt: skip


def test_an_indented_block_is_python_if_it_parses():
    python = to_rst(["    y = f(x)", "", "    z = y"], set())
    assert python[0] == ".. code-block:: python" and python[2:5] == ["   y = f(x)", "", "   z = y"]
    assert to_rst(["    y = Σ_m W_m [ Σ_k ... ]  (Eq. 3)"], set())[0] == ".. code-block:: text"


def test_only_parameters_become_parameters():
    lines = to_rst(["boxes: of an image,", "    in pixels", "Centre: of a pixel.", "a, b: both"], {"boxes", "a", "b"})
    wanted = [":param boxes: of an image, in pixels Centre: of a pixel.", ":param a,b: both"]
    assert [line for line in lines if line] == wanted


def test_outcomes_are_set_apart():
    lines = to_rst(["Does it.", "Returns (n, 4)", "    boxes.", "Raises ValueError if not."], set())
    assert [line for line in lines if line] == ["Does it.", ":returns: (n, 4) boxes.", ":raises: ValueError if not."]


@dataclasses.dataclass
class Example:
    """For the test below."""

    width: int  # in pixels
    names: tuple[str, ...] = ("a", "b")


def test_the_fields_of_a_dataclass_have_their_comments():
    assert fields_of(Example) == [
        ["`width`", "`int`", "", "in pixels"],
        ["`names`", "`tuple[str, ...]`", "`('a', 'b')`", ""],
    ]
