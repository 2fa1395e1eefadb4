"""Every check is run three ways: the solution passes, the notebook's blank does not, plausible mistakes are refused."""

import __future__

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from defdetr_ref.course import exercises

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"
BROKEN_MISTAKE = ("NameError", "AttributeError", "ImportError", "UnboundLocalError", "TypeError", "TypeCheckError")


def solution_passes(name: str) -> None:
    exercise = exercises.find(name)
    exercises.examine(exercise, exercise.solution)


def blank_does_not_pass(notebook: str, name: str) -> None:
    """The blank of the notebook itself counts as not solved: neither as right nor as wrong."""
    answer = blank(notebook, name)
    with pytest.raises(NotImplementedError):
        exercises.examine(exercises.find(name), answer)


def refuses(name: str, mistake: Any, broken: tuple = BROKEN_MISTAKE) -> str:
    """The sentence that the learner reads. A mistake that does not even run would prove nothing."""
    with pytest.raises(exercises.WrongAnswer) as caught:
        exercises.examine(exercises.find(name), mistake)
    sentence = str(caught.value)
    assert sentence and "\n" not in sentence and len(sentence) < 500, f"one sentence was expected: {sentence}"
    assert not any(f" raised {error}" in sentence for error in broken), f"the mistake is broken: {sentence}"
    return sentence


def blank(notebook: str, name: str) -> Any:
    """What the notebook hands to `exercises.check(name, …)` when its cells are as they were written."""
    cells = code_cells(notebook)
    place, answer = checked(notebook)[name]
    blanks = [source for source, tags in cells[:place] if "exercise" in tags]
    assert blanks, f"notebook {notebook} has no cell tagged `exercise` before the check of {name}"
    variables: dict[str, Any] = {}
    for source, _ in cells[:place]:
        imports = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
        _run(ast.Module(imports, type_ignores=[]), variables)
    for source in blanks:
        _run(ast.parse(source), variables)
    return eval(compile(ast.Expression(answer), "the check's cell", "eval"), variables)


def checked(notebook: str) -> dict[str, tuple[int, ast.expr]]:
    """Exercise name → the place of its check among the code cells, and the expression that is checked.

    A name that is a variable's stands for answers of other notebooks, brought along.
    """
    found = {}
    for place, (source, tags) in enumerate(code_cells(notebook)):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "exercises.check":
                if not isinstance(node.args[0], ast.Constant):
                    continue
                assert "check" in tags, f"notebook {notebook}: the cell of {ast.unparse(node)} lacks the tag `check`"
                found[node.args[0].value] = (place, node.args[1])
    return found


@cache
def code_cells(notebook: str) -> list[tuple[str, list[str]]]:
    """Source and tags of each code cell; IPython's own % lines are left out."""
    (path,) = NOTEBOOKS.glob(f"{notebook}_*.ipynb")
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    return [(_python_only(cell["source"]), cell["metadata"].get("tags", [])) for cell in cells]


def _python_only(source: str | list[str]) -> str:
    return "\n".join(line for line in "".join(source).splitlines() if not line.startswith(("%", "!")))


def _run(tree: ast.Module, variables: dict[str, Any]) -> None:
    later = __future__.annotations.compiler_flag  # annotations need not be known here
    exec(compile(tree, "the notebook", "exec", flags=later, dont_inherit=True), variables)
