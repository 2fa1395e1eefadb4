"""Notebook 12: count FLOPs and bytes of Eq. 3, and the lines of memory that a warp touches."""

from collections.abc import Callable

import torch

from defdetr_ref.course.exercises.checking import call, expect_close, expect_equal
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.studies.counting import Workload, operator_cost
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


def examine_counts(answer: Callable) -> None:
    names = ("FLOPs", "bytes gathered", "compulsory bytes")
    for case in ((7, 50, 24, 3, 2, 5), (100, 1360, 256, 8, 4, 4)):
        yours = call(answer, *case)
        expect_equal(len(yours) if isinstance(yours, tuple | list) else type(yours).__name__, 3, "the number of counts")
        for mine, right, name in zip(yours, flops_and_bytes(*case), names, strict=True):
            expect_equal(mine, right, f"{name} of (queries, tokens, d_model, heads, levels, points) = {case}")
    work = Workload(side=96, d_model=40, num_heads=5, num_points=3, strides=(8, 16))
    cost = operator_cost(work)
    yours = call(answer, work.tokens, work.tokens, 40, 5, 2, 3)
    expect_equal(yours, (cost.flops, cost.gathered, cost.compulsory), "the counts of an encoder layer")


def lines_of_a_warp(addresses: torch.Tensor) -> int:
    """How many different lines of 128 bytes the threads read from."""
    lines = addresses[addresses >= 0] // LINE_BYTES
    return len(lines.unique())


def examine_lines(answer: Callable) -> None:
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
        "anywhere in 4 kB": 4 * torch.randint(1024, (WARP,)),
    }
    for name, addresses in cases.items():
        yours = call(answer, addresses)
        expect_close(yours, int(lines_touched(addresses)), f"lines of a warp that reads {name}")


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
)
