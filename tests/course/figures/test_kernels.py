"""The picture of a warp, checked by what was drawn."""

import numpy as np
import pytest
from defdetr_cuda.trace import trace
from numba import cuda

from defdetr_ref.course.figures.kernels import plot_warp, warp_facts
from defdetr_ref.explain.style import OKABE_ITO


def side_by_side(value, output, rows, channels):
    thread = cuda.grid(1)
    if thread < channels:
        total = 0.0
        for row in range(rows):
            total += value[row * channels + thread]
        output[thread] = total


def apart(value, output, rows, channels):
    thread = cuda.grid(1)
    if thread < channels:
        total = 0.0
        for row in range(rows):
            total += value[thread * rows + row]
        output[thread] = total


ROWS, CHANNELS = 16, 30


@pytest.fixture(scope="module")
def seen():
    value = np.arange(ROWS * CHANNELS, dtype=np.float32)
    return {k: trace(k, 1, 32, value, np.zeros(CHANNELS, np.float32), ROWS, CHANNELS) for k in (side_by_side, apart)}


def test_cells_hold_values_and_lines(seen):
    ax = plot_warp(seen[side_by_side], "value", last=3).axes[0]
    texts = {text.get_gid(): text.get_text() for text in ax.texts if text.get_gid().startswith("value")}
    assert len(texts) == len(ax.patches) == 3 * CHANNELS
    assert texts["value 2 7"] == "67.00"  # row 2 of 30 channels, thread 7
    lines = {patch.get_gid() for patch in ax.patches if patch.get_x() < 1}
    assert lines == {"line 32"}  # the first array begins at byte 4096
    patch = next(patch for patch in ax.patches if patch.get_x() > 2 and patch.get_y() == 7)
    assert patch.get_gid() == f"line {(4096 + 67 * 4) // 128}"
    assert patch.get_facecolor()[:3] == pytest.approx([int(OKABE_ITO[34 % 7][i : i + 2], 16) / 255 for i in (1, 3, 5)])


def test_facts_count_lines_and_idle_threads(seen):
    assert list(warp_facts(plot_warp(seen[side_by_side], "value", last=3))) == [
        "3 steps of a warp, 90 accesses, 2 threads without any",
        "lines of 128 bytes touched in each step: 1 2 2",
    ]
    assert list(warp_facts(plot_warp(seen[apart], ["value"], last=2)))[1].endswith("each step: 15 15")


def test_writes_can_be_drawn_beside_reads(seen):
    ax = plot_warp(seen[apart], "output", kind="write").axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["output"]


@pytest.mark.parametrize("wrong, sentence", [
    (dict(arrays="values"), "has no read of values"),
    (dict(arrays="value", warp=1), "warp 1 of block 0 has no read"),
])  # fmt: skip
def test_nothing_to_draw_is_told(seen, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        plot_warp(seen[apart], **wrong)


def test_too_much_to_draw_is_told():
    value = np.zeros(30, np.float32)
    seen = trace(apart, 1, 1, value, np.zeros(1, np.float32), 25, 1)
    with pytest.raises(ValueError, match="25 steps are too many for one picture"):
        plot_warp(seen, "value")
