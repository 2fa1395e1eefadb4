"""Exercises that check themselves: one module for each notebook (n03.py …), one `Exercise` for each blank.

In a notebook, `star = exercises.check("03-star", star)` goes on with the learner's function when it is right, with the
package's version while the blank is still there, and raises `WrongAnswer` otherwise.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from defdetr_ref.exercises.checking import WrongAnswer, call, expect_close, expect_equal, expect_predictions

__all__ = [
    "Exercise",
    "WrongAnswer",
    "call",
    "check",
    "expect_close",
    "expect_equal",
    "expect_predictions",
    "find",
    "hint",
    "names",
    "solution",
]


@dataclass(frozen=True)
class Exercise:
    name: str  # "03-star": the notebook's number, then a word
    solution: Any  # a function or class; or a dict question → answer, where the learner predicts
    examine: Callable[[Any], None]  # tries the answer on hidden cases; raises WrongAnswer with one sentence
    hint: str = ""  # one sentence, told after a wrong answer


def check(name: str, answer: Any) -> Any:
    """The answer if it is right, the package's solution if it is still blank. Raises WrongAnswer if it is wrong.

    A blank raises NotImplementedError; a dict is blank while any of its values is `...`.
    """
    exercise = find(name)
    try:
        examine(exercise, answer)
    except NotImplementedError:
        print(f"{name}: not solved yet; going on with the package's version.")
        return exercise.solution
    except WrongAnswer as wrong:
        sentence = f"{name}: not right yet: {wrong}"
        if exercise.hint:
            sentence += f"{'' if sentence.endswith(('.', '?')) else '.'} Hint: {exercise.hint}"
        raise WrongAnswer(sentence) from None
    print(f"{name}: right.")
    return answer


def hint(name: str) -> None:
    """Print the hint that a wrong answer would get, before any try."""
    print(find(name).hint or f"{name} has no hint; exercises.solution({name!r}) shows one way to do it.")


def solution(name: str) -> None:
    """Print the package's solution: the source of a function, the answers of a dict."""
    answer = find(name).solution
    if isinstance(answer, Mapping):
        print("\n".join(f"{question!r}: {value!r}" for question, value in answer.items()))
    else:
        written = getattr(answer, "py_func", getattr(answer, "fn", answer))  # Numba keeps the function that it compiled
        print(inspect.getsource(written).rstrip())


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


def examine(exercise: Exercise, answer: Any) -> None:
    """Raises NotImplementedError for a blank and WrongAnswer for a wrong answer.

    Random numbers are the same in each run, and the notebook's own do not notice.
    """
    if answer is ...:
        raise NotImplementedError("the answer is still `...`")
    if isinstance(exercise.solution, Mapping):
        _check_questions(exercise.solution, answer)
    elif not callable(answer):
        raise WrongAnswer(f"expected a function, got {answer!r:.80}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exercise.examine(answer)


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
