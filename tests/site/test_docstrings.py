"""Docstrings, from plain text to what Sphinx reads."""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
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
    assert to_rst(["    y = f(x) for each x"], set())[0] == ".. code-block:: text"


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


# ------------------------------------------------------------------------------------------ what docstrings must hold

PUBLIC = [
    "defdetr_ref",
    "defdetr_ref.checkpoints",
    "defdetr_ref.data.annotations",
    "defdetr_ref.data.checking",
    "defdetr_ref.data.coco",
    "defdetr_ref.data.digits",
    "defdetr_ref.data.drawn",
    "defdetr_ref.data.pictures",
    "defdetr_ref.data.shapes",
    "defdetr_ref.data.transforms",
    "defdetr_ref.data.writing",
    "defdetr_ref.debugging.bugs",
    "defdetr_ref.debugging.runs",
    "defdetr_ref.evaluation",
    "defdetr_ref.exercises",
    "defdetr_ref.explain",
    "defdetr_ref.export",
    "defdetr_ref.hugging_face",
    "defdetr_ref.live",
    "defdetr_ref.ops",
    "defdetr_ref.questions.interventions",
    "defdetr_ref.questions.measurements",
    "defdetr_ref.questions.pairs",
    "defdetr_ref.training",
    "defdetr_ref.zoo",
    "defdetr_ref.zoo.recipes",
    "defdetr_ref.zoo.training",
    "defdetr_cuda",
]
FEW = 3  # parameters that a signature alone can explain
PARAMETER = re.compile(r"^(\w+(?:, \w+)*):(?: |$)", re.MULTILINE)


def public_things(module_name: str) -> Iterator[tuple[str, Any]]:
    """What a module exports: the names of `__all__`, and `Explorer`, or all that is defined there."""
    module = importlib.import_module(module_name)
    own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", None) == module_name]
    names = [*getattr(module, "__all__", own), *(["Explorer"] if module_name == "defdetr_ref.explain" else [])]
    for name in names:
        if not name.startswith("_") and not inspect.ismodule(getattr(module, name)):
            yield f"{module_name}.{name}", getattr(module, name)


def unexplained(thing: Any) -> dict[str, list[str]]:
    """Parameters without a line of their own: of a function, or of a class and its public methods."""
    if dataclasses.is_dataclass(thing) and inspect.isclass(thing):
        found = {"": unexplained_fields(thing)}
    elif inspect.isclass(thing) and issubclass(thing, BaseException):
        return {}  # raised by the package, made by no reader
    elif inspect.isclass(thing):
        found = {"": unexplained_parameters(thing, inspect.getdoc(thing) or "")}
    elif inspect.isroutine(thing):
        return {"": unexplained_parameters(thing, inspect.getdoc(thing) or "")}
    else:
        return {}
    for name, member in vars(thing).items():
        function = getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function):
            found[name] = unexplained_parameters(function, inspect.getdoc(function) or "")
    return found


def unexplained_parameters(thing: Any, text: str) -> list[str]:
    parameters = [name for name in inspect.signature(thing).parameters if name != "self"]
    return sorted(set(parameters) - named_in(text)) if len(parameters) > FEW else []


def unexplained_fields(dataclass: type) -> list[str]:
    """A field may also have a comment at its line, here or in the class that it comes from."""
    fields = {field.name for field in dataclasses.fields(dataclass)}
    explained: set[str] = set()
    for one in filter(dataclasses.is_dataclass, dataclass.__mro__):
        explained |= named_in(inspect.cleandoc(one.__doc__ or ""))
        explained |= {name.strip("`") for name, _, _, comment in fields_of(one) if comment}
    return sorted(fields - explained) if len(fields) > FEW else []


def named_in(text: str) -> set[str]:
    return {name for found in PARAMETER.finditer(text) for name in found[1].split(", ")}


@pytest.mark.parametrize("module", PUBLIC)
def test_every_parameter_of_many_has_its_line(module):
    wanting = {
        f"{name}.{part}".rstrip("."): names
        for name, thing in public_things(module)
        for part, names in unexplained(thing).items()
        if names
    }
    sentences = [
        f"{thing}: write a line `name: what it is` into the docstring for {', '.join(names)}"
        for thing, names in wanting.items()
    ]
    assert not sentences, "\n".join(sentences)


def test_the_public_things_are_found():
    names = {name.rpartition(".")[2] for module in PUBLIC for name, _ in public_things(module)}
    assert {"MultiScaleDeformableAttention", "write_digits", "Explorer", "train", "ms_deform_attn", "save"} <= names


def test_a_parameter_without_a_line_is_noticed():
    def four(a, b, c, d):
        """Does it. c: not at the beginning of a line.

        a, b: both
        """

    class Four:
        """Holds it."""

        def method(self, a, b, c, d):
            """Does it."""

    assert unexplained(four) == {"": ["c", "d"]}
    assert unexplained(Four) == {"": [], "method": ["a", "b", "c", "d"]}
