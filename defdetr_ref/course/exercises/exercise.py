"""What an exercise consists of."""

import __future__

import functools
import inspect
import textwrap
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Mistake(NamedTuple):
    """One that learners make, written as the change of the solution that makes it; its hint is told to who made it."""

    right: str  # in the solution's source; or a question of a dict
    wrong: Any  # what stands there instead
    hint: str


@dataclass(frozen=True)
class Exercise:
    """A blank in a notebook: what it is called, one way to fill it, and how an answer is tried."""

    name: str  # "03-star": the notebook's number, then a word
    solution: Any  # a function or class; or a dict question → answer, where the learner predicts
    examine: Callable[[Any, Any], None]  # (answer, right): hidden cases, small ones first; raises WrongAnswer
    hint: str = ""  # one sentence, told after a wrong answer that is none of the known mistakes
    package: Callable | None = None  # the same as the package does it, if the solution is written for the notebook

    @property
    def right(self) -> Any:
        """What answers are compared with."""
        return self.solution if self.package is None else self.package

    @property
    def mistakes(self) -> list[Mistake]:
        """Those of `mistakes.toml`."""
        return [Mistake(each["right"], each["wrong"], each["hint"]) for each in _known() if self.name in each["of"]]


@functools.cache
def _known() -> list[dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("mistakes.toml").read_text(encoding="utf-8"))["mistake"]


def rewritten(function: Callable, right: str, wrong: str) -> Callable:
    """The function with `wrong` in its source for each `right`. ValueError if `right` is not there."""
    function = inspect.unwrap(function)
    source = textwrap.dedent(inspect.getsource(function))
    if right not in source:
        raise ValueError(f"the source of {function.__name__} does not hold {right!r}")
    return compiled(function, source.replace(right, wrong))


def compiled(function: Callable, source: str) -> Callable:
    """The function as if this were its source. Annotations are left as text."""
    names = dict(function.__globals__)
    code = compile(source, "<rewritten>", "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    exec(code, names)
    return names[function.__name__]
