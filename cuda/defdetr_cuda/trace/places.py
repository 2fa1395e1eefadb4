"""Where in a kernel a thread is: the instruction, and for each loop around it which round this is.

The threads of a warp do one thing at a time. A thread for which an `if` is false waits until the others come out of it.
So two threads read in the same step if they are at the same instruction in the same round of every loop, no matter how
many reads each of them has skipped before. Python knows the instruction (`f_lasti`); rounds are counted here.
"""

import dis
import functools
import sys
from collections import defaultdict
from types import CodeType, FrameType

Place = tuple[int, ...]  # compares as the program runs


@functools.cache
def loops(code: CodeType) -> tuple[tuple[int, int], ...]:
    """First and last instruction of each loop, outer loops first: every jump backwards closes one."""
    ends: dict[int, int] = {}
    for instruction in dis.get_instructions(code):
        target = instruction.argval
        if "JUMP" in instruction.opname and isinstance(target, int) and target < instruction.offset:
            ends[target] = max(ends.get(target, 0), instruction.offset)
    return tuple(sorted(ends.items(), key=lambda loop: (loop[0], -loop[1])))


class Rounds:
    """Counts, for the current Python thread, the rounds of every loop that it is in."""

    def __init__(self) -> None:
        self._counts: dict[FrameType, dict[int, int]] = {}

    def __enter__(self) -> "Rounds":
        sys.settrace(self._called)
        return self

    def __exit__(self, *error) -> None:
        sys.settrace(None)

    def of(self, frame: FrameType) -> Place:
        """The place in this frame: first instruction and round of each loop around it, then the instruction."""
        counts, at = self._counts.get(frame, {}), frame.f_lasti
        around = [(start, counts.get(start, 0)) for start, end in loops(frame.f_code) if start <= at <= end]
        return (*(number for loop in around for number in loop), at)

    def _called(self, frame: FrameType, event: str, argument: object):
        if not loops(frame.f_code):
            return None
        counts = self._counts[frame] = defaultdict(int)
        last = -1

        def moved(frame: FrameType, event: str, argument: object):
            nonlocal last
            if event == "return":
                del self._counts[frame]
            elif event == "line":
                _advance(counts, loops(frame.f_code), last, frame.f_lasti)
                last = frame.f_lasti
            return moved

        return moved


def _advance(counts: dict[int, int], loops: tuple[tuple[int, int], ...], last: int, now: int) -> None:
    """A step backwards begins a new round of the innermost loop; a loop that was left begins anew."""
    inside = [start for start, end in loops if start <= now <= end]
    for start in set(counts) - set(inside):
        del counts[start]
    if inside and now < last:
        counts[inside[-1]] += 1
