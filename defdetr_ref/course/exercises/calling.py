"""Calling an answer so that nothing it does goes unnoticed, and nothing goes on for ever."""

import contextlib
import copy
import ctypes
import dataclasses
import dis
import functools
import inspect
import io
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import defdetr_cuda
import numpy as np
import torch
from torch import Tensor, nn

INSTALLED = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
PACKAGES = [str(Path(__file__).resolve().parents[2]), str(Path(defdetr_cuda.__file__).resolve().parent)]
NOT_THE_LEARNERS = tuple([*PACKAGES, *INSTALLED])  # code that a learner did not write
SECONDS = 20.0  # of work, for one call; all hidden cases are small, but Numba may have to compile
BETWEEN_INTERRUPTIONS = 0.05  # seconds; a simulated kernel may have to be interrupted in each of its threads


class WrongAnswer(AssertionError):
    """An answer that is not right. A notebook shows the sentence alone, as the check's own code teaches nothing.

    hint: "" if the sentence needs none; by default the exercise gives one.
    """

    def __init__(self, sentence: str, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback."""
        return [str(self)]


class Stopped(WrongAnswer):
    """One that did not come to its end."""


class WrongDtype(WrongAnswer):
    """Of numbers that may be right: the exercise's own hint, which says how to come to them, would lead astray."""


class TooSlow(Exception):
    """Raised inside an answer that is at work for too long."""


@dataclass
class Trial:
    """What a check has seen so far."""

    arguments: tuple | None = None  # of the last call, as they were before it
    printed: str = ""
    began: float | None = None  # process time when the call under way began
    lock: threading.Lock = field(default_factory=threading.Lock)


TRIAL: ContextVar[Trial | None] = ContextVar("trial", default=None)


@contextlib.contextmanager
def trial() -> Iterator[Trial]:
    """Inside, each `call` that works for more than `SECONDS` is interrupted: not by the clock, as a busy machine is no
    endless loop. On Windows as well, for no signal is used.

    One operation that does not return to Python, a sleep or a huge multiplication, can not be interrupted.
    """
    this, over = Trial(), threading.Event()
    ours, before = threading.get_ident(), set(threading.enumerate())

    def watch() -> None:
        while not over.wait(BETWEEN_INTERRUPTIONS):
            with this.lock:
                if this.began is not None and time.process_time() - this.began > SECONDS:
                    _interrupt(ours, before)

    threading.Thread(target=watch, daemon=True).start()
    token = TRIAL.set(this)
    try:
        yield this
    finally:
        over.set()
        TRIAL.reset(token)


def call(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs) on copies of the arguments. What it prints is kept back.

    WrongAnswer if it raises, returns None, changes an argument, or works for more than `SECONDS`. To take a gradient at
    an argument, which a copy would hide, give it in a `functools.partial`. NotImplementedError passes through, and a
    returned `...` becomes one: the blank is still there.
    """
    this = TRIAL.get()
    if this is None:
        with trial():
            return call(function, *args, **kwargs)
    fixed = function.args if isinstance(function, functools.partial) else ()
    before, given = copied(fixed), copied((args, kwargs))
    printed = io.StringIO()
    this.arguments = (*before, *copied(args))
    try:
        with contextlib.redirect_stdout(printed), _exit_raises(function), _watched(this):
            result = function(*given[0], **given[1])
    except WrongAnswer:
        raise
    except TooSlow:
        sentence = f"{name_of(function)} was still at work after {SECONDS:g} seconds: does a loop never end?"
        raise Stopped(sentence, hint="") from None
    except (Exception, SystemExit) as error:  # `exit()` in an answer would end the cell without a word
        if isinstance(error, NotImplementedError) and _is_blank(error):
            raise
        raise Stopped(_what_was_raised(function, error)) from None
    finally:
        this.printed += printed.getvalue()
    if result is None:
        printed_instead = f" It prints {' '.join(printed.getvalue().split())[:40]!r}." if printed.getvalue() else ""
        raise WrongAnswer(f"{name_of(function)} returned None: is a `return` missing?{printed_instead}")
    if result is ...:
        raise NotImplementedError("the answer is still `...`")
    _refuse_changes(function, (*fixed, *given[0], *given[1].values()), (*before, *args, *kwargs.values()))
    return result


@contextlib.contextmanager
def _watched(this: Trial) -> Iterator[None]:
    this.began = time.process_time()
    try:
        try:
            yield
        finally:
            with this.lock:  # from here on no interruption is sent …
                this.began = None
    finally:
        this.began = None  # … and one sent just before may have kept the lines above from it


def _interrupt(ours: int, before: set[threading.Thread]) -> None:
    """In the thread that is at work: ours, or one that was started since. A kernel's threads wait for their turn."""
    frames, watching = sys._current_frames(), threading.current_thread()
    started = [each.ident for each in threading.enumerate() if each not in before and each is not watching]
    for thread in (*started, ours):
        if thread in frames and frames[thread].f_code.co_filename != threading.__file__:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TooSlow))
            return


@contextlib.contextmanager
def _exit_raises(function: Callable) -> Iterator[None]:
    """In a notebook `exit` and `quit` raise nothing: they stop Python once the cell is done."""
    names = getattr(inspect.unwrap(getattr(function, "func", function)), "__globals__", {})
    notebooks = {name: names[name] for name in ("exit", "quit") if name in names}
    names.update(dict.fromkeys(notebooks, sys.exit))
    try:
        yield
    finally:
        names.update(notebooks)


def copied(thing: Any) -> Any:
    """A copy that is contiguous in memory where the original is, and wants a gradient where it does."""
    if isinstance(thing, Tensor):
        copy_ = thing.detach().clone() if thing.is_contiguous() else not_contiguous(thing.detach())
        return copy_.requires_grad_(thing.requires_grad)
    if isinstance(thing, np.ndarray) and not thing.flags.c_contiguous:
        return not_contiguous(thing)
    if type(thing) in (tuple, list):
        return type(thing)(copied(item) for item in thing)
    if type(thing) is dict:
        return {key: copied(item) for key, item in thing.items()}
    return copy.deepcopy(thing)


def not_contiguous(numbers: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """The same numbers; in memory the first axis is the fastest, or, if there is but one, lies a gap between two."""
    module = torch if isinstance(numbers, Tensor) else np
    if numbers.ndim < 2:
        return module.stack([numbers, numbers], -1)[..., 0]
    return module.moveaxis(module.stack([*numbers], -1), -1, 0) if len(numbers) else numbers


def _refuse_changes(function: Callable, after: tuple, before: tuple) -> None:
    names = parameters_of(function)
    for number, (now, then) in enumerate(zip(after, before, strict=True)):
        if not _same(now, then):
            name = f"`{names[number]}`" if number < len(names) else f"number {number + 1}"
            raise WrongAnswer(
                f"{name_of(function)} changes its argument {name}, which the caller may still need: x = x + 1 makes "
                "something new, x += 1, x[…] = 1 and methods like x.add_(1) change what was given",
                hint="",
            )


def parameters_of(function: Callable) -> list[str]:
    """Their names, those of a partial's function included; none where Python cannot tell."""
    try:
        return list(inspect.signature(getattr(function, "func", function)).parameters)
    except (TypeError, ValueError):
        return []


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor | np.ndarray):
        one, other = (np.asarray(x.detach() if isinstance(x, Tensor) else x) for x in (one, other))
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, nn.Module):
        return _same(dict(one.state_dict()), dict(other.state_dict()))
    if dataclasses.is_dataclass(one):
        one, other = vars(one), vars(other)
    if isinstance(one, tuple | list | dict):
        items = [list(x.items()) if isinstance(x, dict) else x for x in (one, other)]
        return len(one) == len(other) and all(map(_same, *items))
    return not isinstance(one, str | int | float | bool) or one == other


def _is_blank(error: NotImplementedError) -> bool:
    """Whether a `raise` of the notebook or the package raised it; PyTorch does so for types that it does not know."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    raised, path = code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"], code.co_filename
    return raised and (path.startswith(tuple(PACKAGES)) or not path.startswith(tuple(INSTALLED)))


def _what_was_raised(function: Callable, error: BaseException) -> str:
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(NOT_THE_LEARNERS)
    ]
    where = f" (in line {frames[-1].lineno}: {frames[-1].line})" if frames else ""
    message = " ".join(str(error).split())[:300]  # on one line
    return f"{name_of(function)} raised {type(error).__name__}{': ' if message else ''}{message}{where}"


def name_of(function: Callable) -> str:
    """As it was defined; a partial has the name of what it calls."""
    function = getattr(function, "func", function)
    return getattr(function, "__name__", type(function).__name__)
