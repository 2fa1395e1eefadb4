"""Runs a learner's notebook cell by cell, whatever is in it."""

import json
import os
import queue
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defdetr_ref.course.progress import VARIABLE, read_solved

START_SECONDS = 120  # for a kernel on a loaded machine
INTERRUPT_SECONDS = 20  # for a cell to end after it was interrupted
POLL_SECONDS = 0.2


@dataclass
class Cell:
    """One that raised an error, or did not end."""

    number: int  # among the notebook's code cells, from 1: what JupyterLab writes beside it after "Run all"
    source: str
    error: str  # the exception's name, or "" if it did not end
    what: str  # in one sentence


@dataclass
class Run:
    """What became of a notebook."""

    solved: frozenset[str] = frozenset()  # exercises, as their checks recorded them
    failed: list[Cell] = field(default_factory=list)
    seconds: float = 0.0


def code_cells(path: Path) -> list[str]:
    """The sources of a notebook's code cells. Raises ValueError if the file is no notebook."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, TypeError, LookupError):
        raise ValueError(f"{path.name} is no notebook that can be read") from None


def run_notebook(path: Path, seconds: float | int) -> Run:
    """All cells in a kernel of their own, which works in the notebook's folder and keeps no progress of the caller's.

    A cell that raises does not stop those behind it. One that works for more than `seconds` is interrupted; if that
    does not help, or the kernel dies, the rest is not run. Raises ValueError if the file is no notebook, ImportError
    without Jupyter.
    """
    cells = code_cells(path)
    run, began = Run(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "progress.json"
        with kernel(path.parent, {**os.environ, VARIABLE: str(record)}) as (manager, client):
            for number, source in enumerate(cells, start=1):
                try:
                    error = run_cell(manager, client, source, seconds)
                except (TimeoutError, ChildProcessError) as ended:
                    run.failed.append(Cell(number, source, "", f"{ended}; the rest was not run"))
                    break
                if error is not None:
                    run.failed.append(Cell(number, source, *error))
        run.solved = read_solved(record)
    run.seconds = time.monotonic() - began
    return run


@contextmanager
def kernel(folder: Path, environment: dict[str, str]) -> Iterator[tuple[Any, Any]]:
    """A running kernel of this very Python, and a client that talks to it."""
    try:
        from jupyter_client import KernelManager
    except ImportError:
        raise ImportError(
            'Jupyter is not installed here; install it with: pip install "defdetr-ref[notebooks]"'
        ) from None
    manager = KernelManager(kernel_name="python3")
    quiet = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)  # what it says itself; a cell's output is a message
    manager.start_kernel(cwd=str(folder), env=environment, **quiet)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=START_SECONDS)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run_cell(manager: Any, client: Any, source: str, seconds: float | int) -> tuple[str, str] | None:
    """Name and sentence of the exception that a cell raises, or None.

    Raises TimeoutError if it works on although it was interrupted, ChildProcessError if it ends the kernel.
    """
    message = client.execute(source, allow_stdin=False, stop_on_error=False)
    error, until, interrupted = None, time.monotonic() + seconds, False
    while True:
        if time.monotonic() > until:
            if interrupted:
                raise TimeoutError(f"still at work {INTERRUPT_SECONDS} seconds after it was interrupted")
            manager.interrupt_kernel()
            interrupted, until = True, time.monotonic() + INTERRUPT_SECONDS
        try:
            answer = client.get_iopub_msg(timeout=POLL_SECONDS)
        except queue.Empty:
            if not manager.is_alive():
                raise ChildProcessError("it ended Python") from None
            continue
        if answer["parent_header"].get("msg_id") != message:
            continue
        content = answer["content"]
        if answer["msg_type"] == "error":
            error = content["ename"], " ".join(f"{content['ename']}: {content['evalue']}".split())
        elif answer["msg_type"] == "status" and content["execution_state"] == "idle":
            return ("", f"interrupted after {seconds:g} seconds") if interrupted else error
