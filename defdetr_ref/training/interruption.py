"""Ctrl-C while training: what is under way is finished and saved first."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SAME_PRESS = 2.0  # seconds; torchrun passes Ctrl-C on to processes that have received it already
NOTICE = b"\nfinishing this step, then saving; press Ctrl-C again to stop at once, which loses what is not saved\n"


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C stopped the training; its message says what is saved, what is lost and how to go on."""


class Interruptions:
    """While it is entered, Ctrl-C waits for the end of a block that is `deferred`; pressed again, it does not.

    speaks: whether this process says so on the terminal.

    Python delivers signals to the main thread alone; in any other, Ctrl-C stays what it is.
    """

    def __init__(self, speaks: bool) -> None:
        self.speaks = speaks
        self.requested = False
        self._deferring = False
        self._pressed_at: float | None = None

    def __enter__(self) -> "Interruptions":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
            self.requested = isinstance(self._before, _Remembering) and self._before.pressed
        return self

    def __exit__(self, *_) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Raises KeyboardInterrupt at its end if Ctrl-C was pressed meanwhile, or before and nothing came of it."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._pressed_at is not None and now - self._pressed_at < SAME_PRESS:
            return
        is_first, self._pressed_at = self._pressed_at is None, now
        self.requested = True  # Python drops an exception that is raised while an object is deleted: it is asked again
        if not (self._deferring and is_first):
            raise KeyboardInterrupt
        if self.speaks:
            os.write(2, NOTICE)  # not print: a signal may arrive in the middle of another one


class _Remembering:
    """Python's own handler, which also notes that it was called."""

    pressed = False

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        self.pressed = True
        raise KeyboardInterrupt


@contextmanager
def interrupts_remembered() -> Iterator[None]:
    """Within it, Ctrl-C stops at once, as ever. If Python drops it there, because an object is deleted at that moment,
    a training that begins within it stops after its first step.

    Where Ctrl-C is ignored, or somebody else's, it stays so.
    """
    is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_pythons or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, _Remembering())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore_interrupts(worker: int) -> None:
    """For processes that load images: their parent, which receives the same Ctrl-C, ends them when it is ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
