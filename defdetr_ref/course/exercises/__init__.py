"""Exercises that check themselves: one module for each notebook (n03.py …), one `Exercise` for each blank.

In a notebook, `star = exercises.check("03-star", star)` goes on with the learner's function when it is right, with the
package's version while the blank is still there, and raises `WrongAnswer` otherwise.
"""

import difflib
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from defdetr_ref.course.card import Card, Progress
from defdetr_ref.course.exercises.calling import Stopped, WrongAnswer, WrongDtype, call, name_of, trial
from defdetr_ref.course.exercises.checking import expect_close, expect_equal, expect_predictions, expect_same
from defdetr_ref.course.exercises.exercise import Exercise, Mistake, rewritten
from defdetr_ref.course.lessons import LESSONS
from defdetr_ref.course.progress import keep_solved, progress_file, read_solved

__all__ = [
    "Exercise",
    "Failing",
    "Mistake",
    "WrongAnswer",
    "call",
    "card",
    "check",
    "expect_close",
    "expect_equal",
    "expect_predictions",
    "expect_same",
    "failing",
    "find",
    "hint",
    "names",
    "progress",
    "solution",
    "solution_text",
]


@dataclass
class Failing:
    """A case that an answer failed: `answer(*case.arguments)` fails again."""

    arguments: tuple
    sentence: str  # what the check said of it


_FAILED: dict[str, Failing] = {}  # by the exercise's name, of its last check


def check(name: str, answer: Any) -> Any:
    """The answer if it is right, the package's solution if it is still blank. Raises WrongAnswer if it is wrong.

    A blank raises NotImplementedError; a dict is blank while any of its values is `...`.
    """
    exercise = find(name)
    _FAILED.pop(name, None)
    try:
        printed = examine(exercise, answer)
    except NotImplementedError:
        print(f"{name}: not solved yet; going on with the package's version.")
        return exercise.solution
    except WrongAnswer as wrong:
        sentence = f"{name}: not right yet: {wrong}"
        told = wrong.hint if wrong.hint is not None else hint_for(exercise, answer, wrong)
        if told:
            sentence += f"{'' if sentence.endswith(('.', '?')) else '.'} Hint: {told}"
        raise WrongAnswer(sentence) from None
    print(f"{name}: right.")
    try:
        keep_solved(name)
    except (OSError, ValueError) as error:  # of no weight for the lesson
        print(f"(Your progress is not kept: {error}.)")
    if printed:
        print(f"(It prints while it runs, which a check keeps back: {' '.join(printed.split())[:60]!r}.)")
    return answer


def progress() -> Progress:
    """Which exercises are solved and which lesson is next, as a table.

    A solved exercise is remembered in a file in the system's folder for a user's data, or in the one that the
    environment variable DEFDETR_PROGRESS names; set to nothing, none is kept.
    """
    exercises = {number: tuple(exercise.name for exercise in of_notebook(number)) for number in _numbers()}
    try:
        return Progress(exercises, read_solved(progress_file()))
    except (OSError, ValueError) as error:
        return Progress(exercises, frozenset(), f"Progress is not known: {error}.")


def card(number: str) -> Card:
    """What stands at the top of notebook "04": how long it takes, what of it is solved, which lesson is next.

    Raises ValueError if there is no such lesson.
    """
    lessons = {lesson.number: lesson for lesson in LESSONS}
    if number not in lessons:
        raise ValueError(f"there is no lesson {number!r}; the course has {', '.join(lessons)}")
    return Card(lessons[number], progress())


def failing(name: str) -> Failing:
    """The smallest input on which the last answer was not right: `answer(*failing(name).arguments)` shows it again.

    Raises ValueError if the last check failed on no input.
    """
    find(name)
    if name not in _FAILED:
        raise ValueError(f"{name} failed on no input when it was last checked; run exercises.check({name!r}, …) first")
    return _FAILED[name]


def hint_for(exercise: Exercise, answer: Any, wrong: WrongAnswer) -> str:
    """That of the known mistake that does just what the answer does, or is stopped like it; or the exercise's own."""
    for mistake in exercise.mistakes:
        if isinstance(exercise.solution, Mapping):
            if isinstance(answer, Mapping) and _alike(answer.get(mistake.right), mistake.wrong):
                return mistake.hint
            continue
        mistaken = rewritten(exercise.solution, mistake.right, mistake.wrong)
        try:
            if isinstance(wrong, Stopped):
                examine(exercise, mistaken, exercise.right)
            else:
                examine(exercise, answer, mistaken)
                return mistake.hint
        except Stopped as other:
            if isinstance(wrong, Stopped) and _what(other, mistaken) == _what(wrong, answer):
                return mistake.hint
        except Exception:  # another mistake
            continue
    return "" if isinstance(wrong, WrongDtype) else exercise.hint


def _alike(mine: Any, theirs: Any) -> bool:
    try:
        expect_equal(mine, theirs, "")
    except WrongAnswer:
        return False
    return True


def _what(wrong: WrongAnswer, function: Any) -> str:
    """The sentence without what differs from one way of writing to the other."""
    return re.sub(r" \(in line .*", "", str(wrong)).replace(name_of(function), "")


def hint(name: str) -> None:
    """Print the hint that a wrong answer would get, before any try."""
    print(find(name).hint or f"{name} has no hint; exercises.solution({name!r}) shows one way to do it.")


def solution(name: str) -> None:
    """Print the package's solution: the source of a function, the answers of a dict."""
    print(solution_text(name))


def solution_text(name: str) -> str:
    """What `solution` prints; the site folds it away below the exercise."""
    answer = find(name).solution
    if isinstance(answer, Mapping):
        return "\n".join(f"{question!r}: {value!r}" for question, value in answer.items())
    written = getattr(answer, "py_func", getattr(answer, "fn", answer))  # Numba keeps the function that it compiled
    return textwrap.dedent(inspect.getsource(written)).rstrip()  # it may be a method


def find(name: str) -> Exercise:
    """The exercise of this name. ValueError that lists names near it if there is none."""
    number = str(name)[:2]
    for exercise in of_notebook(number) if number in _numbers() else []:
        if exercise.name == name:
            return exercise
    near = difflib.get_close_matches(str(name), names(), n=3, cutoff=0.3) or names()
    raise ValueError(f"there is no exercise {name!r}; did you mean {' or '.join(near)}?")


def names() -> list[str]:
    """The names of all exercises, notebook by notebook."""
    return [exercise.name for number in _numbers() for exercise in of_notebook(number)]


def of_notebook(number: str) -> list[Exercise]:
    """The exercises of notebook "03", in the order in which its module defines them."""
    module = importlib.import_module(f"{__name__}.n{number}")
    return [thing for thing in vars(module).values() if isinstance(thing, Exercise)]


def examine(exercise: Exercise, answer: Any, right: Any = None) -> str:
    """What the answer prints. Raises NotImplementedError for a blank and WrongAnswer for a wrong answer.

    right: what the answer has to do; by default, what the exercise's solution does.

    Random numbers are the same in each run, and the notebook's own do not notice.
    """
    if answer is ...:
        raise NotImplementedError("the answer is still `...`")
    if isinstance(exercise.solution, Mapping):
        _check_questions(exercise.solution, answer)
    elif not callable(answer):
        raise WrongAnswer(f"expected a function, got {answer!r:.80}")
    with trial() as seen, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            exercise.examine(answer, exercise.right if right is None else right)
        except WrongAnswer as wrong:
            if right is None and seen.arguments is not None:
                _FAILED[exercise.name] = Failing(seen.arguments, str(wrong))
            raise
    return seen.printed


def _check_questions(solution: Mapping[str, Any], answer: Any) -> None:
    if not isinstance(answer, Mapping):
        raise WrongAnswer(f"expected a dict with an answer to each question, got {answer!r:.80}")
    for question in solution:
        if question not in answer:
            raise WrongAnswer(f"there is no answer to {question!r}")
    if any(value is ... for value in answer.values()):
        raise NotImplementedError("a value is still `...`")


def _numbers() -> list[str]:
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name[1:] for name in modules if name[0] == "n" and name[1:].isdigit())
