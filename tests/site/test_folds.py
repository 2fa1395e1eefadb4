"""Below each exercise of a lesson lie its hint and its solution, folded."""

import ast
import inspect
import json
import re

import pytest
from site_parts.folds import as_markdown, with_folds
from site_parts.notebooks import copy_notebooks

from defdetr_ref.course import exercises
from defdetr_ref.course.exercises.exercise import compiled
from tests.site.building import ROOT

FOLD = re.compile(r'<details class="fold"><summary>(\w+)</summary>\n\n(.*?)\n\n</details>', re.DOTALL)


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    """Number → the cells of its copy for the site."""
    folder = tmp_path_factory.mktemp("copies") / "notebooks"
    copy_notebooks(ROOT / "notebooks", folder)
    return {path.name[:2]: json.loads(path.read_text(encoding="utf-8"))["cells"] for path in folder.glob("*.ipynb")}


def folds_of(lessons, name):
    """What is folded below the cell that checks an exercise: summary → text."""
    cells = lessons[name[:2]]
    (place,) = [i for i, cell in enumerate(cells) if f'exercises.check("{name}"' in "".join(cell["source"])]
    return dict(FOLD.findall(cells[place + 1]["source"]))


@pytest.mark.parametrize("name", exercises.names())
def test_each_exercise_has_its_hint_and_the_solution_that_its_check_accepts(lessons, name):
    folds, exercise = folds_of(lessons, name), exercises.find(name)
    assert list(folds) == ["Hint", "Solution"]
    assert folds["Hint"] and folds["Hint"].replace("\\", "") == exercise.hint
    code = folds["Solution"].removeprefix("```python\n").removesuffix("\n```")
    if isinstance(exercise.solution, dict):
        shown = ast.literal_eval("{" + ",".join(code.splitlines()) + "}")
    else:
        shown = compiled(inspect.unwrap(getattr(exercise.solution, "py_func", exercise.solution)), code)
    exercises.examine(exercise, shown)


def test_other_cells_stay_as_they_were():
    cells = [
        {"cell_type": "markdown", "source": ['`exercises.check("03-star", star)` says so']},
        {"cell_type": "code", "source": ['star = exercises.check("03-star", star)']},
        {"cell_type": "code", "source": ["star(4, 2)"]},
    ]
    after = list(with_folds(cells))
    assert [after[0], after[1], after[3]] == cells and len(after) == 4


def test_a_check_of_what_is_no_exercise_is_refused():
    cell = {"cell_type": "code", "source": ['exercises.check("03-stern", star)']}
    with pytest.raises(ValueError, match="there is no exercise '03-stern'"):
        list(with_folds([cell]))


def test_a_hint_is_taken_literally_but_for_code_and_emphasis():
    assert as_markdown("p_t of *all* `a[_]`, x[0] < 1 and $5 #1") == r"p\_t of *all* `a[_]`, x\[0\] \< 1 and \$5 \#1"
