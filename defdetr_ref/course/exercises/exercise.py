"""What an exercise consists of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exercise:
    """A blank in a notebook: what it is called, one way to fill it, and how an answer is tried."""

    name: str  # "03-star": the notebook's number, then a word
    solution: Any  # a function or class; or a dict question → answer, where the learner predicts
    examine: Callable[[Any], None]  # tries the answer on hidden cases; raises WrongAnswer with one sentence
    hint: str = ""  # one sentence, told after a wrong answer
