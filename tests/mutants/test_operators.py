"""Each kind of change on a snippet, and what is never changed."""

import pytest

from tests.mutants.campaign import mutants_of
from tests.mutants.operators import edits_of
from tests.mutants.source import Source


def changed(text: str) -> dict[str, list[str]]:
    """What a snippet can become, by kind."""
    source, found = Source(text), {}
    for edit in edits_of(source):
        found.setdefault(edit.kind, []).append(source.apply(edit))
    return found


SNIPPETS = {
    "a + b": ("operator", ["a - b"]),
    "a - b * c": ("swapped operands", ["b * c - a"]),
    "x = (a + b) / c": ("swapped operands", ["x = c / (a + b)"]),
    "x = value * mask": ("operand left out", ["x = value"]),
    "a < b <= c": ("comparison", ["a <= b <= c", "a > b <= c", "a < b < c", "a < b >= c"]),
    "x is not None": ("comparison", ["x is None"]),
    "x = a and (b or c)": ("and, or", ["x = a or (b or c)", "x = a and (b and c)"]),
    "x = not a": ("negation left out", ["x = a"]),
    "x = ~mask": ("negation left out", ["x = mask"]),
    "x = y.sum(-1)": ("axis", ["x = y.sum(0)", "x = y.sum(-2)"]),
    "x = 2, 0.5, True": ("constant", ["x = 1, 0.5, True", "x = 2, 0.0, True", "x = 2, 0.5, False"]),
    "x = [height, width]": ("swapped pair", ["x = [width, height]"]),
    "height, width = x": ("swapped pair", ["width, height = x"]),
    "f(a, b, 3)": ("swapped arguments", ["f(b, a, 3)"]),
    "x.clamp(min=a)": ("min, max", ["x.clamp(max=a)"]),
    "x = torch.floor(x)": ("opposite function", ["x = torch.ceil(x)"]),
    "x = max(a, b)": ("opposite function", ["x = min(a, b)"]),
    "x = (1 - x).clamp(min=eps)": ("call left out", ["x = (1 - x)"]),
    "x = y.detach()": ("call left out", ["x = y"]),
    "x = torch.log(y)": ("call left out", ["x = (y)"]),
    "x.backward()": ("call left out", ["pass"]),
    "if a:\n    b": ("condition negated", ["if (not (a)):\n    b"]),
    "x = [y for y in z if y]": ("filter left out", ["x = [y for y in z if True]"]),
    "raise ValueError(2)": ("raise left out", ["pass"]),
    "x += 1": ("augassign left out", ["pass"]),
    "for x in y:\n    continue": ("continue left out", ["for x in y:\n    pass"]),
    "def f():\n    return": ("return left out", ["def f():\n    pass"]),
    "@torch.no_grad()\ndef f(): ...": ("decorator left out", ["\ndef f(): ..."]),
}


@pytest.mark.parametrize("text", SNIPPETS)
def test_one_kind(text):
    kind, expected = SNIPPETS[text]
    assert changed(text)[kind] == expected


NEVER = {
    "a docstring": '"""Two, 2."""',
    "a string": 'x = "2 + 2"',
    "an annotation": "def f(x: tuple[int, str], y: int | None) -> list[2]: ...",
    "an annotated name": "x: dict[str, 2]",
    "a type": "Target = dict[str, Any]",
    "an import": "from a import b, c",
    "an f-string": 'x = f"{a + b}"',
    "a guard of zip": "x = zip(a, [b], strict=True)",
    "a comment": "x = y  # 2 + 2",
}


@pytest.mark.parametrize("text", NEVER.values(), ids=NEVER)
def test_never_changed(text):
    assert changed(text) == {}


def test_what_is_raised_is_not_changed_but_that_it_is():
    assert changed('raise ValueError(f"{a + 1} of {max(a, b)}" + "!")') == {"raise left out": ["pass"]}


def test_a_mutant_tells_its_line_and_both_texts_without_comments():
    text = "def f(x):\n    return g(\n        -x,  # ü 1\n        (x * 2) / 3,\n    )\n"
    (swapped,) = (mutant for mutant in mutants_of("boxes", text) if mutant.kind == "swapped operands")
    assert swapped.line == 4
    assert (swapped.old, swapped.new) == ("(x * 2) / 3,", "3 / (x * 2),")
    (negation,) = (mutant for mutant in mutants_of("boxes", text) if mutant.kind == "negation left out")
    assert (negation.line, negation.old, negation.new) == (3, "-x,", "x,")


def test_every_change_is_a_program_and_another_one():
    text = "def f(a, b=0):\n    for i, j in a:\n        if i == j:\n            continue\n        b += i - j * 2\n"
    source = Source(text)
    texts = [source.apply(edit) for edit in edits_of(source)]
    assert len(texts) == len(set(texts)) > 10 and text not in texts
    for changed_text in texts:
        compile(changed_text, "snippet", "exec")
