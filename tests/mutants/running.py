"""Running tests on a changed copy of the tree: one forked pytest for each mutant, and nothing written here.

The parent imports what is large and never changes, and never the package; a child imports the package from its copy. A
campaign that is killed leaves only a temporary folder behind.
"""

import importlib
import os
import re
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.mutants.rooms import PACKAGE, ROOT, path_of

COPIED = (PACKAGE, "cuda", "tests", "pyproject.toml")
HEAVY = (
    "beartype", "einops", "hypothesis", "jaxtyping", "matplotlib.pyplot", "numba", "numpy", "PIL.Image", "pytest",
    "scipy.optimize", "sympy", "torch", "torch._dynamo", "torch.utils.data", "torch.utils.flop_counter",
)  # fmt: skip
WRONG_TREE = 99  # exit status of a child that imported the package from elsewhere
NOTHING_SAID = (3, 4, 5, WRONG_TREE)  # of pytest: internal error, wrong usage, no tests
MEMORY = 32 * 2**30  # bytes of address space: a changed size may ask for far more than there is

Job = TypeVar("Job")


def import_what_is_large() -> None:
    """And say what holds for every child: one thread, and none of pytest's plugins, which take long to load."""
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", MPLBACKEND="Agg", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    for name in HEAVY:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    assert not any(name.split(".")[0] == PACKAGE for name in sys.modules)


class Copy:
    """A copy of the tree in which one module at a time is changed."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def of_tree(cls, folder: Path) -> "Copy":
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
            else:
                shutil.copy2(ROOT / name, folder / name)
        return cls(folder)

    def again(self, folder: Path) -> "Copy":
        """A copy of the copy, with what was compiled there."""
        return Copy(Path(shutil.copytree(self.folder, folder)))

    def change(self, module: str, text: str) -> None:
        """Another time stamp tells Python and Numba that what they compiled before is of another text."""
        path = self.folder / path_of(module)
        self._before = path, path.read_text(encoding="utf-8"), path.stat()
        path.write_text(text, encoding="utf-8", newline="\n")
        os.utime(path, ns=(self._before[2].st_atime_ns, self._before[2].st_mtime_ns + 60 * 10**9))

    def restore(self) -> None:
        """Take the last change back."""
        path, text, times = self._before
        path.write_text(text, encoding="utf-8", newline="\n")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@dataclass
class Run:
    """A pytest under way in a copy."""

    pid: int
    started: float
    limit: float
    log: Path

    @classmethod
    def start(
        cls, copy: Copy, arguments: list[str], limit: float, log: str, changed: bool, anew: bool = False
    ) -> "Run":
        """changed: leave no compiled code behind in the copy; anew: use none of Numba's that is already there."""
        path = copy.folder / log
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _child(copy.folder, arguments, path, changed, copy.folder / "numba" if anew else None)
        return cls(pid, time.monotonic(), limit, path)

    def poll(self) -> int | None:
        """The exit status; None while it runs. What takes too long is ended, with a negative status."""
        done, status = os.waitpid(self.pid, os.WNOHANG)
        if not done and self.seconds > self.limit:
            self.stop()
            return -signal.SIGKILL
        return os.waitstatus_to_exitcode(status) if done else None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def stop(self) -> None:
        """With all the processes that it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has no group of its own yet
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def noticed_by(self) -> str:
        """The first test that failed."""
        found = re.search(
            r"^(?:FAILED|ERROR) (\S+)", self.log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE
        )
        return found[1] if found else ""

    def tail(self) -> str:
        """The end of what pytest said."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]


def _child(folder: Path, arguments: list[str], log: Path, changed: bool, cache: Path | None) -> None:
    """Never returns."""
    import resource  # not on Windows, which has no fork either; the rest of this file can be imported there

    status = WRONG_TREE
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.chdir(folder)
        sys.path[:0] = [str(folder), str(folder / "cuda")]
        os.environ["PYTHONPATH"] = f"{folder}:{folder / 'cuda'}"  # of processes that a test starts
        for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
            del sys.modules[name]  # they are those of the tree that was copied
        if changed:
            sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
        if cache:
            shutil.rmtree(cache, ignore_errors=True)
            sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = str(cache)
        options = ["-x", "-p", "no:cacheprovider", "--tb=short", "-m", "not slow"]
        status = int(sys.modules["pytest"].main([*options, *arguments]))
        if PACKAGE in sys.modules and not Path(sys.modules[PACKAGE].__file__).is_relative_to(folder):
            status = WRONG_TREE
    finally:
        sys.stdout.flush()
        os._exit(status)


def run_all(
    jobs: Iterable[Job], places: list[Copy], start: Callable[[Job, Copy], Run]
) -> Iterator[tuple[Job, Copy, Run, int]]:
    """Run one job at a time in each place, and tell each (job, place, run, exit status) as it ends."""
    waiting, free, under_way = deque(jobs), list(range(len(places))), {}
    try:
        while waiting or under_way:
            while waiting and free:
                number, job = free.pop(), waiting.popleft()
                under_way[number] = job, start(job, places[number])
            for number, (job, run) in list(under_way.items()):
                status = run.poll()
                if status is not None:
                    del under_way[number]
                    free.append(number)
                    yield job, places[number], run, status
            time.sleep(0.02)
    finally:
        for _, run in under_way.values():
            run.stop()
