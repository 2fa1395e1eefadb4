"""What the checks are made of: compare what an answer gives, and say in one sentence what is off."""

import contextlib
import copy
import dataclasses
import numbers
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from defdetr_ref.course.exercises.calling import (
    Stopped,
    WrongAnswer,
    WrongDtype,
    call,
    copied,
    not_contiguous,
    parameters_of,
)

FEW = 4  # so many numbers are shown all; of more, only the one that is farthest off
DIGITS = (4, 7, 17)  # the fewest that tell two numbers apart are shown


def expect_same(
    answer: Callable,
    right: Callable,
    arguments: tuple,
    what: str,
    *,
    gradient: Collection[str] = (),
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """The answer must give what `right` gives: on the arguments as they are, not contiguous in memory, and in float64.

    answer: the learner's.
    right: the solution; or, when a hint is looked for, a known mistake.
    arguments: of both.
    what: begins the sentence, "the offsets for 8 heads".
    gradient: the parameters at which the result's gradient must agree, too.
    rtol, atol: see `expect_close`.
    """
    for form, formed in _forms(arguments):
        try:
            expected = right(*copied(formed))
        except Exception:  # a known mistake
            expect_stopped(answer, *formed)
            continue
        expect_close(call(answer, *formed), expected, f"{what}{form}", rtol=rtol, atol=atol)
    if gradient:
        places = [parameters_of(right).index(name) for name in gradient]
        expected, yours = (_gradients(function, arguments, places, what) for function in (right, answer))
        for name, theirs, mine in zip(gradient, expected, yours, strict=True):
            sentence = f"{what}: the numbers are right, but their gradient at `{name}`"
            if theirs.any() and not mine.any():
                raise WrongAnswer(f"{sentence} is cut off; does something in between call detach() or item()?", hint="")
            expect_close(mine, theirs, f"{sentence},", rtol=rtol, atol=atol)


def expect_stopped(function: Callable, *args: Any, **kwargs: Any) -> None:
    """Where a known mistake fails, an answer that makes the same one does so, too. Raises WrongAnswer, never shown."""
    with contextlib.suppress(Stopped):
        call(function, *args, **kwargs)
        raise WrongAnswer("this goes well")


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
            name = f"{_before_colon(what)}, number {index + 1} of {len(expected)},"
            expect_close(mine, right, name, rtol=rtol, atol=atol)
        return
    mine, right = _as_tensor(yours, expected, what), torch.as_tensor(expected).detach().cpu()
    if mine.shape != right.shape:
        raise WrongAnswer(f"{what} has shape {tuple(mine.shape)}, expected {tuple(right.shape)}")
    if isinstance(expected, Tensor | np.ndarray) and mine.dtype != right.dtype:  # the notebook goes on with it
        raise WrongDtype(f"{what} has dtype {_dtype(mine)}, expected {_dtype(right)}")
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


def _forms(arguments: tuple) -> Iterator[tuple[str, tuple]]:
    """(words for the sentence, the arguments) as they are, and in those other forms that make a difference."""
    yield "", arguments
    gaps = _each(arguments, lambda x: not_contiguous(x) if isinstance(x, Tensor | np.ndarray) and x.ndim else x)
    double = _each(arguments, _in_float64)
    for form, changed in ((", of arguments that are not contiguous,", gaps), (", in float64,", double)):
        if any(now is not then for now, then in zip(changed, arguments, strict=True)):
            yield form, changed


def _in_float64(thing: Any) -> Any:
    if isinstance(thing, nn.Module):
        return copy.deepcopy(thing).double()
    return thing.double() if isinstance(thing, Tensor) and thing.dtype == torch.float32 else thing


def _each(thing: Any, change: Callable) -> Any:
    """`change` of whatever lies in tuples, lists, dicts and data classes, which stay the same objects where nothing
    changes."""
    if type(thing) is dict or (dataclasses.is_dataclass(thing) and not isinstance(thing, type)):
        fields = thing if type(thing) is dict else vars(thing)
        changed = {name: _each(item, change) for name, item in fields.items()}
        if all(changed[name] is fields[name] for name in fields):
            return thing
        return changed if type(thing) is dict else dataclasses.replace(thing, **changed)
    if type(thing) not in (tuple, list):
        return change(thing)
    items = [_each(item, change) for item in thing]
    return thing if all(map(lambda a, b: a is b, items, thing)) else type(thing)(items)


def _gradients(function: Callable, arguments: tuple, places: list[int], what: str) -> list[Tensor]:
    """At the arguments in these places, of a weighted sum of the results; zero where none arrives."""
    leaves = copied(arguments)
    wanted = [leaves[place].requires_grad_() for place in places]
    results = [one for one in _tensors(call(partial(function, *leaves))) if one.requires_grad]
    if not results:
        why = "something in it calls detach(), item() or tolist(), or makes a new tensor of numbers"
        raise WrongAnswer(f"{what}: the numbers are right, but no gradient goes back from them; {why}", hint="")
    # No two numbers count alike.
    total = sum((one * torch.linspace(1, 2, one.numel()).view(one.shape)).sum() for one in results)
    return list(torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True))


def _tensors(result: Any) -> list[Tensor]:
    """Of a result that is one, or a tuple or list of them."""
    return [result] if isinstance(result, Tensor) else [one for each in result for one in _tensors(each)]


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
        yours, expected = _told_apart(mine, right)
        return f"{_before_colon(what)}: yours is {yours}, expected {expected}"
    off = (mine - right).abs().nan_to_num(float("inf"))
    worst = tuple(index.item() for index in torch.unravel_index(off.argmax(), off.shape))
    yours, expected = _told_apart(mine[worst], right[worst])
    return (
        f"{_before_colon(what)}: at {list(worst)} yours is {yours}, expected {expected} "
        f"({int(wrong.sum())} of {mine.numel()} numbers differ)"
    )


def _before_colon(what: str) -> str:
    """`what` may end in a comma, for sentences that go on with "has" or "is"."""
    return what.removesuffix(",")


def _told_apart(mine: Tensor, right: Tensor) -> tuple[str, str]:
    """Both in the fewest digits in which they differ."""
    for digits in DIGITS:
        texts = _digits(mine, digits), _digits(right, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _digits(tensor: Tensor, digits: int) -> str:
    if tensor.dim() == 0:
        return f"{tensor.item():.{digits}g}"
    return "[" + ", ".join(_digits(part, digits) for part in tensor) + "]"


def _plain(thing: Any) -> Any:
    """As Python's own: one number however it is held, any sequence as a list, arrays as their text."""
    if isinstance(thing, tuple | list):
        return [_plain(item) for item in thing]
    if isinstance(thing, Tensor | np.ndarray | np.generic):
        return thing.item() if thing.ndim == 0 else repr(thing)
    return thing


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _a(thing: Any) -> str:
    kind = type(thing).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _short(thing: Any, longest: int = 80) -> str:
    text = " ".join(repr(thing).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
