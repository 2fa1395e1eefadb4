"""What the checks are made of: call the answer, compare what it gives, and say in one sentence what is off."""

import copy
import numbers
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import defdetr_cuda
import numpy as np
import torch
from torch import Tensor

INSTALLED = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
PACKAGES = [str(Path(__file__).resolve().parents[2]), str(Path(defdetr_cuda.__file__).resolve().parent)]
NOT_THE_LEARNERS = tuple([*PACKAGES, *INSTALLED])  # code that a learner did not write
FEW = 4  # so many numbers are shown all; of more, only the one that is farthest off


class WrongAnswer(AssertionError):
    """An answer that is not right. A notebook shows the sentence alone, as the check's own code teaches nothing."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback."""
        return [str(self)]


def call(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs) on copies of the arguments; WrongAnswer if it raises or returns None.

    To take a gradient at an argument, which a copy would hide, give it in a `functools.partial`.
    NotImplementedError passes through, and a returned `...` becomes one: the blank is still there.
    """
    args, kwargs = _copied(args), _copied(kwargs)
    try:
        result = function(*args, **kwargs)
    except (NotImplementedError, WrongAnswer):
        raise
    except (Exception, SystemExit) as error:  # `exit()` in an answer would end the cell without a word
        raise WrongAnswer(_what_was_raised(function, error)) from None
    if result is None:
        raise WrongAnswer(f"{_name(function)} returned None: is a `return` missing?")
    if result is ...:
        raise NotImplementedError("the answer is still `...`")
    return result


def expect_close(yours: Any, expected: Any, what: str, *, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Numbers that must agree: a tensor, an array, a number, a tuple or list of these. Raises WrongAnswer.

    yours: the learner's.
    expected: the package's.
    what: begins the sentence, "the offsets for 8 heads".
    rtol, atol: how far they may be apart, relatively and absolutely.
    """
    if isinstance(expected, tuple | list):
        _expect_length(yours, expected, what)
        for index, (mine, right) in enumerate(zip(yours, expected, strict=True)):
            expect_close(mine, right, f"{what}, number {index + 1} of {len(expected)},", rtol=rtol, atol=atol)
        return
    mine, right = _as_tensor(yours, expected, what), torch.as_tensor(expected).detach().cpu()
    if mine.shape != right.shape:
        raise WrongAnswer(f"{what} has shape {tuple(mine.shape)}, expected {tuple(right.shape)}")
    if isinstance(expected, Tensor | np.ndarray) and mine.dtype != right.dtype:  # the notebook goes on with it
        raise WrongAnswer(f"{what} has dtype {_dtype(mine)}, expected {_dtype(right)}")
    nans = int((mine.isnan() & ~right.isnan()).sum())
    if nans:
        raise WrongAnswer(f"{_before_colon(what)}: {nans} of {mine.numel()} numbers are NaN, expected none")
    mine, right = mine.double(), right.double()
    wrong = ~torch.isclose(mine, right, rtol=rtol, atol=atol, equal_nan=True)
    if wrong.any():
        raise WrongAnswer(_where_wrong(mine, right, wrong, what))


def expect_equal(yours: Any, expected: Any, what: str) -> None:
    """Shapes, counts, names, booleans: things that are the same or not. A tuple and a list may stand for each other."""
    if isinstance(expected, Tensor | np.ndarray):
        return expect_close(yours, expected, what, rtol=0.0, atol=0.0)
    if isinstance(expected, tuple | list):
        _expect_length(yours, expected, what)
    mine, right = _plain(yours), _plain(expected)
    for kind in (bool, str):  # 1 == True, but it does not answer a question for yes or no
        if isinstance(mine, kind) != isinstance(right, kind):
            raise WrongAnswer(f"{what} is {_a(yours)}, expected {_a(expected)}")
    if mine != right:
        raise WrongAnswer(f"{_before_colon(what)}: yours is {_short(yours)}, expected {_short(expected)}")


def expect_predictions(yours: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Every prediction of a dict: floats and tensors may differ in their last digits, all else must be the same."""
    for question, right in expected.items():
        if isinstance(right, float | Tensor | np.ndarray):
            expect_close(yours[question], right, question, rtol=0.01)
        else:
            expect_equal(yours[question], right, question)


def _copied(thing: Any) -> Any:
    if isinstance(thing, Tensor):
        return thing.detach().clone().requires_grad_(thing.requires_grad)
    if type(thing) in (tuple, list):
        return type(thing)(_copied(item) for item in thing)
    if type(thing) is dict:
        return {key: _copied(item) for key, item in thing.items()}
    return copy.deepcopy(thing)


def _what_was_raised(function: Callable, error: BaseException) -> str:
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(NOT_THE_LEARNERS)
    ]
    where = f" (in line {frames[-1].lineno}: {frames[-1].line})" if frames else ""
    message = " ".join(str(error).split())[:300]  # on one line
    return f"{_name(function)} raised {type(error).__name__}{': ' if message else ''}{message}{where}"


def _expect_length(yours: Any, expected: tuple | list, what: str) -> None:
    if not isinstance(yours, tuple | list):
        raise WrongAnswer(f"{what} is {_a(yours)}, expected {_a(expected)} of {len(expected)}")
    if len(yours) != len(expected):
        raise WrongAnswer(f"{_before_colon(what)}: yours has {len(yours)} items, expected {len(expected)}")


def _as_tensor(yours: Any, expected: Any, what: str) -> Tensor:
    """A tensor is compared with a tensor, an array with an array, a number with anything that is one number."""
    if isinstance(expected, Tensor | np.ndarray) and not isinstance(yours, type(expected)):
        raise WrongAnswer(f"{what} is {_a(yours)}, expected {_a(expected)} of shape {tuple(expected.shape)}")
    if not isinstance(expected, Tensor | np.ndarray):
        plain = _plain(yours)
        if not isinstance(plain, numbers.Real) or isinstance(plain, bool):
            raise WrongAnswer(f"{what} is {_a(yours)}, expected a number")
    return torch.as_tensor(yours).detach().cpu()


def _where_wrong(mine: Tensor, right: Tensor, wrong: Tensor, what: str) -> str:
    if mine.numel() <= FEW:
        return f"{_before_colon(what)}: yours is {_digits(mine)}, expected {_digits(right)}"
    off = (mine - right).abs().nan_to_num(float("inf"))
    worst = tuple(index.item() for index in torch.unravel_index(off.argmax(), off.shape))
    return (
        f"{_before_colon(what)}: at {list(worst)} yours is {_digits(mine[worst])}, expected {_digits(right[worst])} "
        f"({int(wrong.sum())} of {mine.numel()} numbers differ)"
    )


def _before_colon(what: str) -> str:
    """`what` may end in a comma, for sentences that go on with "has" or "is"."""
    return what.removesuffix(",")


def _digits(tensor: Tensor) -> str:
    if tensor.dim() == 0:
        return f"{tensor.item():.4g}"
    return "[" + ", ".join(_digits(part) for part in tensor) + "]"


def _plain(thing: Any) -> Any:
    """As Python's own: one number however it is held, any sequence as a list, arrays as their text."""
    if isinstance(thing, tuple | list):
        return [_plain(item) for item in thing]
    if isinstance(thing, Tensor | np.ndarray | np.generic):
        return thing.item() if thing.ndim == 0 else repr(thing)
    return thing


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _name(function: Callable) -> str:
    function = getattr(function, "func", function)  # what a partial calls
    return getattr(function, "__name__", type(function).__name__)


def _a(thing: Any) -> str:
    kind = type(thing).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _short(thing: Any, longest: int = 80) -> str:
    text = " ".join(repr(thing).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
