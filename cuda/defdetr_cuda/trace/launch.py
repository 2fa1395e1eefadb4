"""A kernel's threads, one Python thread each, on Numba's simulator."""

import inspect
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numba.cuda.simulator.kernel import BlockManager, BlockThread, _push_kernel_context, swapped_cuda_module
from numba.cuda.simulator.kernelapi import FakeCUDAModule

from defdetr_cuda.trace.accesses import RecordedArray, RecordedAtomic, RecordedShared, ThreadRecord, current
from defdetr_cuda.trace.trace import Trace

FIRST_ADDRESS = 4096  # any will do, as long as a line begins there
ALIGNMENT = 256  # bytes: where a GPU's memory manager begins an array
MOST_THREADS = 20_000  # the simulator does some two thousand a second


class CooperativeThread(BlockThread):
    """A simulated thread that runs only when it is its turn, up to a barrier or to its end.

    The simulator's own threads all run at once, so that what a race gives is chance; and it asks them all the time
    whether they wait, which takes most of the time.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._may_run, self._has_paused = threading.Semaphore(0), threading.Semaphore(0)

    def resume(self) -> bool:
        """Let it run until it pauses. True while it has not ended."""
        if self.ident is None:
            self.start()
        self._may_run.release()
        self._has_paused.acquire()
        return not self.ended

    def run(self) -> None:
        self._may_run.acquire()
        self.ended = False
        super().run()
        self.ended = True
        self._has_paused.release()

    def syncthreads(self) -> None:
        self._has_paused.release()
        self._may_run.acquire()


class RecordedModule(FakeCUDAModule):
    """What the kernel finds under the name `cuda`."""

    def __init__(self, grid: tuple[int, int, int], block: tuple[int, int, int]) -> None:
        super().__init__(grid, block, 0)
        self._atomic = RecordedAtomic(self._atomic)

    def begin_block(self) -> None:
        self._shared = RecordedShared()

    def syncthreads(self) -> None:
        super().syncthreads()
        current().epoch += 1


def trace(kernel: Callable, blocks: int | Sequence[int], threads: int | Sequence[int], *arguments: Any) -> Trace:
    """Run `kernel[blocks, threads](*arguments)` and return what its threads did. It writes into the arrays given.

    kernel: a Python function, or one that `cuda.jit` was applied to; it must know numba.cuda as `cuda`
    arguments: NumPy arrays in C order; anything else is handed on as it is
    Raises what the first failing thread raised, and ValueError for a launch that is not possible.
    """
    function = inspect.unwrap(getattr(kernel, "py_func", kernel))
    grid, block = _three(blocks, "blocks"), _three(threads, "threads")
    count = int(np.prod(grid) * np.prod(block))
    if count > MOST_THREADS:
        raise ValueError(f"{count} threads are too many for the simulator; take a case of {MOST_THREADS} at most")
    recorded, addresses = _recorded(_names(function, len(arguments)), arguments)
    module = RecordedModule(grid, block)
    records: list[ThreadRecord] = []
    with _push_kernel_context(module), swapped_cuda_module(function, module):
        for number, place in enumerate(np.ndindex(*grid)):
            module.begin_block()
            records += _run_block(function, grid, block, number, place, recorded)
            _raise_first_error(records)
    accesses = [access for record in records for access in record.accesses]
    return Trace(accesses, grid, block, addresses, _barriers(records))


def _run_block(function, grid, block, number: int, place: tuple, arguments: list) -> list[ThreadRecord]:
    """One block's threads, to their end. A thread that fails keeps its error, so that none waits for it."""
    records: dict[int, ThreadRecord] = {}

    def thread(*arguments: Any) -> None:
        simulated = threading.current_thread()
        record = simulated.record = ThreadRecord(function.__code__, number, simulated.thread_id)
        records[simulated.thread_id] = record
        try:
            with record.rounds:
                record.result = function(*arguments)
        except Exception as error:
            record.error = error

    manager = BlockManager(thread, grid, block, False)
    threads = [
        CooperativeThread(lambda: thread(*arguments), manager, place, index, False) for index in np.ndindex(*block)
    ]
    while threads:  # once for each barrier, and once more
        threads = [each for each in threads if each.resume()]
    return [records[key] for key in sorted(records)]


def _raise_first_error(records: list[ThreadRecord]) -> None:
    for record in records:
        if record.error is not None:
            _refuse_numbas_own(record.error)
            raise record.error
        if record.result is ...:
            raise NotImplementedError("the kernel is still `...`")
        if record.result is not None:
            raise ValueError(
                f"a kernel returns nothing, it writes into arrays; this one returned {record.result!r:.40}"
            )


def _refuse_numbas_own(error: Exception) -> None:
    """Outside of kernels, numba.cuda's names raise NotImplementedError; that is no blank that a learner left."""
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, NotImplementedError) and "numba" in Path(innermost.filename).parts:
        raise ValueError(
            "a function that the kernel calls is in another module and uses numba.cuda there; put both into one module"
        ) from None


def _barriers(records: list[ThreadRecord]) -> dict[int, set[int]]:
    """Block → how many barriers its threads passed; more than one number is a mistake."""
    passed: dict[int, set[int]] = {}
    for record in records:
        passed.setdefault(record.block, set()).add(record.epoch)
    return passed


def _three(sizes: int | Sequence[int], what: str) -> tuple[int, int, int]:
    numbers = [int(size) for size in (sizes if isinstance(sizes, Sequence) else [sizes])]
    if not 1 <= len(numbers) <= 3 or min(numbers) < 1:
        raise ValueError(f"{what}: one to three numbers of at least 1 are needed, got {sizes}")
    return tuple(numbers + [1] * (3 - len(numbers)))


def _names(function: Callable, count: int) -> list[str]:
    parameters = list(inspect.signature(function).parameters)
    return parameters if len(parameters) == count else [f"argument {number}" for number in range(count)]


def _recorded(names: list[str], arguments: Sequence[Any]) -> tuple[list[Any], dict[str, int]]:
    """The arguments with every array recorded, and the address of each."""
    recorded: list[Any] = []
    addresses, free = {}, FIRST_ADDRESS
    for name, argument in zip(names, arguments, strict=True):
        if isinstance(argument, np.ndarray):
            if not argument.flags.c_contiguous:
                raise ValueError(f"{name} is not in C order; pass numpy.ascontiguousarray({name})")
            addresses[name] = free
            argument = RecordedArray(name, argument, free)
            free += -(-max(argument.numbers.nbytes, 1) // ALIGNMENT) * ALIGNMENT
        recorded.append(argument)
    return recorded, addresses
