"""Notebook 12: count FLOPs and bytes of Eq. 3, and the lines of memory that a warp touches."""

from collections.abc import Callable

import torch

from defdetr_ref.course.exercises.calling import WrongAnswer, call
from defdetr_ref.course.exercises.checking import expect_close, expect_equal
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.studies.gathers import LINE_BYTES, WARP, lines_touched


def flops_and_bytes(
    queries: int, tokens: int, d_model: int, num_heads: int, num_levels: int, num_points: int
) -> tuple[int, int, int]:
    """(FLOPs, bytes gathered, compulsory bytes) of the sums of Eq. 3, in float32."""
    points = queries * num_heads * num_levels * num_points
    read = points * 4 * (d_model // num_heads)  # four corners, the channels of one head
    places = points * 3  # x, y and the weight
    output = queries * d_model
    return 2 * read, 4 * (read + places + output), 4 * (tokens * d_model + places + output)


def examine_counts(answer: Callable, right: Callable) -> None:
    names = ("FLOPs", "bytes gathered", "compulsory bytes")
    for case in ((1, 2, 2, 1, 1, 1), (7, 50, 24, 3, 2, 5), (180, 180, 40, 5, 2, 3), (100, 1360, 256, 8, 4, 4)):
        yours = call(answer, *case)
        if not isinstance(yours, tuple | list) or len(yours) != 3:
            raise WrongAnswer("expected three numbers: FLOPs, bytes gathered, compulsory bytes", hint="")
        for mine, expected, name in zip(yours, right(*case), names, strict=True):
            expect_equal(mine, expected, f"{name} of (queries, tokens, d_model, heads, levels, points) = {case}")


def lines_of_a_warp(addresses: torch.Tensor) -> int:
    """How many different lines of 128 bytes the threads read from."""
    lines = addresses[addresses >= 0] // LINE_BYTES
    return len(lines.unique())


def examine_lines(answer: Callable, right: Callable) -> None:
    thread = torch.arange(WARP)
    idle = torch.where(thread % 3 == 0, -1, 4 * thread + 256)
    cases = {
        "side by side": 4 * thread,
        "side by side, from byte 64 on": 4 * thread + 64,
        "all at the same address": torch.full((WARP,), 1000),
        "each 128 bytes further": LINE_BYTES * thread,
        "backwards, each 8 bytes apart": 8 * thread.flip(0),
        "in turns from two places": torch.where(thread % 2 == 0, 4 * thread, 4096 + 4 * thread),
        "with every third thread idle (-1)": idle,
        "with all threads idle (-1)": torch.full((WARP,), -1),
        "each 64 bytes further, from 2**33 on": 2**33 + 64 * thread,
        "anywhere in 4 kB": 4 * torch.randint(1024, (WARP,)),
    }
    for name, addresses in cases.items():
        expect_close(call(answer, addresses), right(addresses), f"lines of a warp that reads {name}")


COUNTS = Exercise(
    "12-counts",
    solution=flops_and_bytes,
    examine=examine_counts,
    hint="A point reads 4 corners of d_model / heads channels; a product and a sum are 2 FLOPs; a number has 4 bytes.",
)
LINES = Exercise(
    "12-lines",
    solution=lines_of_a_warp,
    examine=examine_lines,
    hint="Line number = address // 128. Each line counts once, however many threads read from it.",
    package=lambda addresses: int(lines_touched(addresses)),
)
