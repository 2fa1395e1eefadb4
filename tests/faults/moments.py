"""A process to which something happens at a chosen moment.

Moments are counted in calls of functions, Python's and C's, so that the same moment comes back with the same seed,
however fast the machine is.
"""

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

LONGEST = 600  # seconds, of a process that hangs
NOBODY = 65534  # the user without rights on most systems


class Outcome(NamedTuple):
    """How a process ended: the signal that killed it, the name of the exception, or neither; and what it had to say."""

    signal: int
    error: str
    message: str
    calls: int  # of functions, if it came to its end


class Moments:
    """Counts calls from `start` on and acts once, at call number `moment` (0: never)."""

    def __init__(self, moment: int = 0, action: Callable[[], None] | None = None) -> None:
        self.moment, self.action, self.calls = moment, action, 0

    def start(self) -> None:
        """Begin to count; later calls change nothing."""
        if sys.getprofile() is None:
            sys.setprofile(self._count)

    def _count(self, frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1
            if self.calls == self.moment:
                self.action()


def kill() -> None:
    """No handler runs, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    """The process exists and does nothing any more."""
    os.kill(os.getpid(), signal.SIGSTOP)


def interrupt() -> None:
    """Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def fill_disk(size: int) -> None:
    """No file can grow beyond `size` bytes from now on."""
    limit_file_size(size)


def limit_file_size(size: int | None) -> None:
    """In bytes; None lifts the limit."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if size is None else size, most))


def write_protect(folder: Path) -> None:
    """Nothing can be made or replaced in `folder` any more; root, who can, becomes somebody else."""
    if folder.exists():
        folder.chmod(0o555)
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def in_child(work: Callable[[Moments], None], moments: Moments, log: Path) -> "Child":
    """Run `work` in a process of its own; what it prints goes to `log`."""
    result = log.with_suffix(".json")
    result.unlink(missing_ok=True)
    result.touch()
    result.chmod(0o666)  # for a child that becomes somebody else
    pid = os.fork()
    if pid:
        return Child(pid, result)
    signal.alarm(LONGEST)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's process in the background ignores Ctrl-C
    try:
        with open(log, "w", encoding="utf-8") as file, open(result, "w", encoding="utf-8") as answer:
            os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
            error, message = "", ""
            try:
                work(moments)
            except BaseException as caught:
                sys.setprofile(None)
                error, message = type(caught).__name__, str(caught)
                traceback.print_exc()
            sys.setprofile(None)
            limit_file_size(None)
            json.dump([error, message, moments.calls], answer)
    finally:
        os._exit(0)


class Child(NamedTuple):
    """A process that was started by `in_child`."""

    pid: int
    result: Path

    def outcome(self) -> Outcome:
        """Wait for its end."""
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            return Outcome(os.WTERMSIG(status), "", "", 0)
        return Outcome(0, *json.loads(self.result.read_text(encoding="utf-8")))

    def kill(self) -> None:
        """End it, stopped or not."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
