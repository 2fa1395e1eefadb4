"""All exercises of all notebooks: each has a solution that passes, a blank that does not, and refused mistakes."""

import importlib.util
from functools import cache

import pytest
import torch

from defdetr_ref.course import exercises
from defdetr_ref.course.exercises import exercise
from tests.course.exercises import three_ways

WRITTEN = sorted(path.name[:2] for path in three_ways.NOTEBOOKS.glob("*.ipynb"))
NAMES = exercises.names()


@cache
def mistakes_of(name: str) -> dict:
    module = f"tests.course.exercises.test_n{name[:2]}"
    if not importlib.util.find_spec(module):
        pytest.fail(f"{module.replace('.', '/')}.py is missing; write it, with MISTAKES that the checks must refuse")
    return importlib.import_module(module).MISTAKES.get(name, {})


@pytest.mark.parametrize("notebook", WRITTEN)
def test_every_notebook_has_its_exercises_and_no_others(notebook):
    file = f"defdetr_ref/course/exercises/n{notebook}.py"
    if not importlib.util.find_spec(f"{exercises.__name__}.n{notebook}"):
        pytest.fail(f"notebook {notebook} has no {file}; write it, with an `Exercise` for each blank")
    in_module = sorted(exercise.name for exercise in exercises.of_notebook(notebook))
    in_notebook = sorted(three_ways.checked(notebook))
    assert in_module, f"{file} holds no `Exercise`; write one for each blank of the notebook"
    if in_module != in_notebook:
        pytest.fail(f"notebook {notebook} checks {in_notebook}, but {file} holds {in_module}; name both alike")


def test_names_are_unique_and_begin_with_their_notebooks_number():
    assert len(set(NAMES)) == len(NAMES)
    assert all(exercises.find(name).name == name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_passes(name, capsys):
    three_ways.solution_passes(name)
    exercises.solution(name)
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", [name for name in NAMES if name[:2] in WRITTEN])
def test_the_notebooks_blank_does_not_pass(name):
    three_ways.blank_does_not_pass(name[:2], name)


@pytest.mark.parametrize("name", NAMES)
def test_every_plausible_mistake_is_refused(name):
    mistakes = mistakes_of(name)
    file = f"tests/course/exercises/test_n{name[:2]}.py"
    assert len(mistakes) >= 4, f"{name} has {len(mistakes)} mistakes in {file}; think of at least four"
    for what, mistake in mistakes.items():
        print("accepted or broken:", what)  # shown if this one fails
        three_ways.refuses(name, mistake)


KNOWN = [(name, number) for name in NAMES for number in range(len(exercises.find(name).mistakes))]


@pytest.mark.parametrize("name, number", KNOWN)
def test_every_known_mistake_is_refused(name, number):
    three_ways.refuses(name, made(name, number), broken=())


@pytest.mark.parametrize(
    "name, number",
    [each for each in KNOWN if not each[0].startswith(("13-forward", "13-backward")) or each[1] in (0, 3)],
)
def test_every_known_mistake_gets_its_own_hint(name, number):
    """Of the larger kernels only some, as the simulator takes its time."""
    hint = exercises.find(name).mistakes[number].hint
    with pytest.raises(exercises.WrongAnswer) as caught:
        exercises.check(name, made(name, number))
    assert str(caught.value).endswith(f" Hint: {hint}")


def made(name: str, number: int):
    """The answer with the mistake."""
    solution, (right, wrong, _) = exercises.find(name).solution, exercises.find(name).mistakes[number]
    if isinstance(solution, dict):
        assert right in solution
        return solution | {right: wrong}
    return exercise.rewritten(solution, right, wrong)


def test_known_mistakes_belong_to_exercises():
    for mistake in exercise._known():
        assert set(mistake) == {"of", "right", "wrong", "hint"} and set(mistake["of"]) <= set(NAMES), mistake


FUNCTIONS = [name for name in NAMES if callable(exercises.find(name).solution)]
GENERIC = {
    "returns None": lambda *args, **kwargs: None,
    "returns a word": lambda *args, **kwargs: "text",
    "returns a lone NaN": lambda *args, **kwargs: torch.tensor(torch.nan),
    "returns what it was given": lambda *args, **kwargs: args[0] if args else "nothing",
    "returns a dict": lambda *args, **kwargs: {"answer": 1},
    "takes no arguments": lambda: 1,
}


@pytest.mark.parametrize("mistake", GENERIC)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nonsense_is_told_in_one_sentence(name, mistake):
    with pytest.raises(exercises.WrongAnswer) as caught:
        exercises.examine(exercises.find(name), GENERIC[mistake])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_ignores_its_inputs_is_refused(name):
    """It gives the right answer to the first question, and the same answer to all others."""
    solution, first = exercises.find(name).solution, []

    def stubborn(*args, **kwargs):
        if not first:
            first.append(solution(*args, **kwargs))
        return first[0]

    with pytest.raises(exercises.WrongAnswer):
        exercises.examine(exercises.find(name), stubborn)
