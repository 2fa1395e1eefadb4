"""Equations of docstrings, from plain text to TeX."""

import inspect

import pytest
from site_parts.docstrings import to_rst
from site_parts.equations import equation, to_tex

from defdetr_ref import attention, boxes, losses, matching, ops, positions
from defdetr_ref.ops import loops


@pytest.mark.parametrize(
    "written, tex",
    [
        ("A_mlqk · W'_m x^l", r"A_{mlqk} \cdot W'_{m} x^{l}"),
        ("Σ_level weight", r"\sum _{\mathrm{level}} \mathrm{weight}"),
        ("p̂_q + Δp", r"\hat{p}_{q} + \Delta p"),
        ("σ⁻¹(x)", r"\sigma ^{-1} \left( x\right)"),
        ("T^(2i/dim) log p_t", r"T^{2i/\mathrm{dim}} \log p_{t}"),
        ("(1 - p)^γ", r"\left( 1 - p\right) ^{\gamma}"),
        ("‖b - b̂‖₁", r"\Vert b - \hat{b}\Vert _{1}"),
        ("{x}, [y]", r"\{ x\} , \left[ y\right]"),
    ],
)
def test_each_sign_has_its_name_in_tex(written, tex):
    assert to_tex(written) == tex


def test_words_in_brackets_far_behind_are_the_number():
    assert equation("a = b (c)          (the sums of Eq. 3)") == r"a = b \left( c\right) \tag{the sums of Eq. 3}"
    assert equation("a = b (c)") == r"a = b \left( c\right)"


def test_an_unknown_sign_is_refused_by_name():
    with pytest.raises(ValueError, match="'∮' has no name in TeX"):
        to_tex("∮ x")


def test_a_block_is_a_formula_only_if_each_of_its_lines_is_one():
    assert to_rst(["    y = σ⁻¹(x)", "", "    z = y^2"], set())[:3] == [
        r".. math:: y = \sigma ^{-1} \left( x\right)", "", ".. math:: z = y^{2}"]  # fmt: skip
    assert to_rst(["    defdetr train --set x=1", "    y_1 = Σ_m m"], set())[0] == ".. code-block:: text"
    assert to_rst(["    y = x ** 2"], set())[0] == ".. code-block:: python"


def test_symbols_of_the_paper_are_formulas_in_tables():
    lines = to_rst(["| paper | here |", "|---|---|", "| z_q | `query` |"], set())
    assert lines[-3:-1] == ["   * - :math:`z_{q}`", "     - ``query``"]


EQUATIONS = [
    (attention, r"\tag{Eq. 3}"),
    (attention.DeformableAttention, r"\tag{Eq. 2}"),
    (loops, r"\tag{the sums of Eq. 3}"),
    (ops.ms_deform_attn, r"\sum _{l} \sum _{k} A_{mlqk}"),
    (boxes.inverse_sigmoid, r"\log \left( x / \left( 1 - x\right) \right)"),
    (boxes.refine_boxes, r"\tag{appendix A.4}"),
    (boxes.generalized_box_iou, r"|A \cap B| / |A \cup B|"),
    (losses.focal_loss, r"-\alpha _{t} \left( 1 - p_{t}\right) ^{\gamma} \log p_{t}"),
    (matching.matching_cost, r"2 \cdot \mathrm{class} + 5"),
    (positions.sine_embedding, r"T^{2i/\mathrm{dim}}"),
]


@pytest.mark.parametrize("thing, tex", EQUATIONS, ids=[thing.__name__ for thing, _ in EQUATIONS])
def test_the_papers_equations_are_formulas(thing, tex):
    formulas = [line for line in to_rst(inspect.getdoc(thing).splitlines(), set()) if line.startswith(".. math::")]
    assert any(tex in line for line in formulas), formulas
