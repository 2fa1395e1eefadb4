"""Arrays that keep who reads and writes them. They stand in for a kernel's arguments while the simulator runs it.

An index that is negative or too large is an error here. Python would wrap a negative one to the array's end, and a GPU
would read whatever lies there.
"""

import linecache
import operator
import re
import sys
import threading
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import numpy as np

from defdetr_cuda.trace.places import Place, Rounds

# Helpers of the package's kernels: all that one call touches is one instruction on a GPU.
INTRINSICS = "defdetr_cuda.intrinsics_simulated"
VERBS = {"read": "reads", "write": "writes", "atomic": "adds to"}


@dataclass
class Access:
    """One instruction of one thread that touches memory."""

    thread: int  # in its block
    block: int  # in the grid
    kind: str  # "read", "write", "atomic"
    array: str
    shared: bool  # in shared memory; otherwise in global memory
    index: int  # of the first number, in the flat array
    address: int  # of the first number, in bytes
    itemsize: int  # bytes of a number
    values: tuple  # what was read, written or added: one number, or those of a vector
    place: Place
    line: int  # of the kernel's source
    epoch: int  # how many barriers the thread had passed

    @property
    def value(self) -> Any:
        return self.values[0]

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.address + self.itemsize * len(self.values)


class ThreadRecord:
    """What one simulated thread did, in order."""

    def __init__(self, kernel: CodeType, block: int, thread: int) -> None:
        self.kernel, self.block, self.thread = kernel, block, thread
        self.accesses: list[Access] = []
        self.epoch = 0
        self.rounds = Rounds()
        self.error: Exception | None = None
        self.result: Any = None
        self._helper: FrameType | None = None  # of the access before

    def add(self, kind: str, array: "RecordedArray", index: int, value: Any, frame: FrameType) -> None:
        """Note an access; `frame` is where the array is indexed."""
        frames = self._from_kernel(frame)
        helper = next((frame for frame in frames if frame.f_globals.get("__name__") == INTRINSICS), None)
        if helper is not None:
            frames = frames[: frames.index(helper) + 1]
            if helper.f_code.co_name.startswith("add_"):
                if kind == "read":  # half of an atomic addition
                    return
                kind = "atomic"
        same_call = helper is not None and helper is self._helper
        self._helper = helper
        if same_call and self._continues(kind, array, index):
            self.accesses[-1].values += (value,)
            return
        place = tuple(number for frame in frames for number in self.rounds.of(frame))
        address = array.address + index * array.itemsize
        self.accesses.append(
            Access(self.thread, self.block, kind, array.name, array.shared, array.start + index, address,
                   array.itemsize, (value,), place, frames[0].f_lineno, self.epoch)
        )  # fmt: skip

    def _from_kernel(self, frame: FrameType | None) -> list[FrameType]:
        """The frames of the calls from the kernel down to the access."""
        frames: list[FrameType] = []
        while frame is not None:
            frames.append(frame)
            if frame.f_code is self.kernel:
                break
            frame = frame.f_back
        return frames[::-1]

    def _continues(self, kind: str, array: "RecordedArray", index: int) -> bool:
        last = self.accesses[-1] if self.accesses else None
        return (
            last is not None
            and (last.kind, last.array) == (kind, array.name)
            and last.index + len(last.values) == array.start + index
        )


def current() -> ThreadRecord:
    """The record of the simulated thread that is running."""
    return threading.current_thread().record  # set by `launch.trace`


class RecordedArray:
    """A NumPy array with a name and an address, for use inside a kernel."""

    def __init__(self, name: str, numbers: np.ndarray, address: int, *, shared: bool = False, start: int = 0) -> None:
        self.name, self.numbers, self.address, self.shared, self.start = name, numbers, address, shared, start
        self.shape, self.size, self.ndim, self.dtype = numbers.shape, numbers.size, numbers.ndim, numbers.dtype
        self.itemsize = numbers.itemsize

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._moved(index)
        flat = self.flat_index(index, "read")
        value = self.numbers.flat[flat]
        current().add("read", self, flat, value, sys._getframe(1))
        return value

    def __setitem__(self, index: Any, value: Any) -> None:
        flat = self.flat_index(index, "write")
        self.numbers.flat[flat] = value
        current().add("write", self, flat, self.numbers.flat[flat], sys._getframe(1))

    def flat_index(self, index: Any, kind: str) -> int:
        """The number's place in memory, counted from the array's first. IndexError in one sentence if there is none."""
        indices = index if isinstance(index, tuple) else (index,)
        who = f"thread {current().thread} of block {current().block} {VERBS[kind]}"
        text = f"{self.name}[{', '.join(map(str, indices))}]"
        if len(indices) != self.ndim:
            raise IndexError(f"{who} {text} with {len(indices)} indices, but {self.name} has {self.ndim} dimensions")
        try:
            whole = [operator.index(number) for number in indices]
        except TypeError:
            raise IndexError(f"{who} {text}, but an index must be a whole number, an integer by type") from None
        for axis, (number, size) in enumerate(zip(whole, self.shape, strict=True)):
            if not 0 <= number < size:
                along = f" along axis {axis}" if self.ndim > 1 else ""
                there = f"its indices{along} go from 0 to {size - 1}" if size else "it is empty"
                raise IndexError(f"{who} {text}, which is outside of {self.name}: {there}")
        return int(np.ravel_multi_index(whole, self.shape))

    def _moved(self, part: slice) -> "RecordedArray":
        """`array[start:]`, as a pointer is moved on. It may be moved past the end, if nothing is read there."""
        start = part.start or 0
        if part.stop is not None or part.step is not None or self.ndim != 1 or start < 0:
            raise IndexError(f"of {self.name} only a part [start:] of a flat array can be taken, got {part}")
        start = int(start)
        return RecordedArray(
            self.name, self.numbers[start:], self.address + start * self.itemsize, shared=self.shared,
            start=self.start + start,
        )  # fmt: skip


class RecordedShared:
    """`cuda.shared` of one block. Its arrays are named as in the kernel, and start as NaN: a GPU clears nothing."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[CodeType, int], RecordedArray] = {}
        self._lock = threading.Lock()
        self._next = 0

    def array(self, shape: Any, dtype: Any, alignment: int | None = None) -> RecordedArray:
        frame = sys._getframe(1)
        key = (frame.f_code, frame.f_lasti)
        with self._lock:
            if key not in self._arrays:
                numbers = _uninitialised(shape, dtype)
                self._arrays[key] = RecordedArray(_assigned_name(frame), numbers, self._next, shared=True)
                self._next += numbers.nbytes
            return self._arrays[key]


class RecordedAtomic:
    """`cuda.atomic`: each operation is one access, however the simulator makes it."""

    def __init__(self, simulated: Any) -> None:
        self._simulated = simulated

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._simulated, name)

        def run(array: Any, index: Any, *numbers: Any) -> Any:
            if not isinstance(array, RecordedArray):
                return operation(array, index, *numbers)
            flat = array.flat_index(index, "atomic")
            before = operation(array.numbers.reshape(-1), flat, *numbers)
            current().add("atomic", array, flat, numbers[-1], sys._getframe(1))
            return before

        return run


def _uninitialised(shape: Any, dtype: Any) -> np.ndarray:
    from numba.np.numpy_support import as_dtype

    dtype = np.dtype(dtype if isinstance(dtype, type | np.dtype | str) else as_dtype(dtype))
    return np.full(shape, np.nan if dtype.kind == "f" else 0, dtype)


def _assigned_name(frame: FrameType) -> str:
    """`products` in `products = cuda.shared.array(…)`."""
    found = re.match(r"\s*(\w+)\s*=", linecache.getline(frame.f_code.co_filename, frame.f_lineno))
    return found[1] if found else "shared"
