"""The pictures of the study of cost, on a made-up file."""

import numpy as np
import pytest
import torch

from defdetr_ref.course.figures.cost import plot_disorder, plot_growth, plot_roofline, plot_rounds, plot_rows, plot_warp
from defdetr_ref.explain.style import PAGE_INCHES

NAMES = ("operator", "convolution like the operator", "module", "convolution like the module", "dense")


def size(side, tokens, names=NAMES):
    return {
        "side": side,
        "tokens": tokens,
        "costs": {name: {"flops": 10**9 * (n + 1) * tokens, "compulsory": 10**8} for n, name in enumerate(NAMES)},
        "seconds": {name: 0.002 * (n + 1) for n, name in enumerate(names)},
    }


STUDY = {
    "roofline": {"flops_per_second": 64e9, "bytes_per_second": 8e9},
    "sizes": [size(64, 85), size(128, 340, NAMES[:4])],
    "patterns": [
        {"side": 64, "value_bytes": 2**20, "times_as_long": {"own": 1.0, "shuffled": 1.5, "random": 2.0}},
        {"side": 96, "value_bytes": 2**22, "times_as_long": {"own": 1.0, "shuffled": 3.0, "random": 2.5}},
    ],
    "rows": [
        {"megabytes": 0.25, "in order": 20.0, "at random": 10.0},
        {"megabytes": 8, "in order": 9.0, "at random": 2.0},
    ],
    "cache": {"bytes": 2**16, "hit_rate": {"convolution": 0.9, "own": 0.5}},
}


def drawn(ax, gid):
    return [artist for artist in (*ax.lines, *ax.patches, *ax.collections) if artist.get_gid() == gid]


def test_growth_counts_three_and_times_five():
    counted, measured = plot_growth(STUDY).axes
    operator, module, dense = drawn(counted, "curve")
    assert list(operator.get_xdata()) == [85, 340] and list(dense.get_ydata()) == [5 * 85, 5 * 340]
    assert list(module.get_ydata()) == [3 * 85, 3 * 340]
    timed = drawn(measured, "curve")
    assert [len(line.get_xdata()) for line in timed] == [2, 2, 2, 2, 1]  # dense was timed at one size
    np.testing.assert_allclose(timed[1].get_ydata(), [4, 4])
    assert {ax.get_xscale() + ax.get_yscale() for ax in (counted, measured)} == {"loglog"}


def test_the_roof_bends_where_memory_and_arithmetic_meet():
    (ax,) = plot_roofline(STUDY, 64).axes
    x, y = drawn(ax, "roof")[0].get_data()
    np.testing.assert_allclose(y[x < 8], 8 * x[x < 8])
    np.testing.assert_allclose(y[x > 8], 64)
    cases = drawn(ax, "case")
    assert len(cases) == 5
    assert cases[0].get_xdata()[0] == 850 and cases[0].get_ydata()[0] == pytest.approx(85 / 0.002)
    assert len(drawn(plot_roofline(STUDY, 128).axes[0], "case")) == 4
    with pytest.raises(ValueError, match=r"side 100 was not measured; choose from \[64, 128\]"):
        plot_roofline(STUDY, 100)


def test_rounds_are_shown_one_by_one():
    (ax,) = plot_rounds({"dense": [0.25, 0.5], "operator": [0.125, 0.0625]}).axes
    dense, operator = drawn(ax, "rounds")
    assert list(dense.get_xdata()) == [250, 500] and list(operator.get_xdata()) == [125, 62.5]
    assert list(dense.get_ydata()) == [0, 0] and list(operator.get_ydata()) == [1, 1]
    assert ax.get_yticklabels()[0].get_text() == "dense attention"


def test_a_warp_shows_threads_and_the_lines_they_touch():
    side_by_side = 4 * torch.arange(32) + 1280
    far = torch.full((32,), -1)
    far[[0, 5, 9]] = torch.tensor([1280, 256, 300])
    near, apart = plot_warp({"near": side_by_side, "far": far}).axes
    assert near.get_title() == "near: 1 line" and apart.get_title() == "far: 2 lines"
    assert list(drawn(near, "thread")[0].get_ydata()) == [0] * 32
    dots = drawn(apart, "thread")[0]
    assert list(dots.get_xdata()) == [0, 5, 9] and list(dots.get_ydata()) == [8, 0, 0]
    assert len(drawn(apart, "line")[0].get_segments()) == 2


def test_disorder_has_a_bar_for_each_pattern_and_size():
    times, hits = plot_disorder(STUDY).axes
    assert [bar.get_height() for bar in drawn(times, "bar")] == [1, 1, 1.5, 3, 2, 2.5]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in drawn(times, "bar")]
    np.testing.assert_allclose(middles[2:4], [0, 1], atol=1e-9)
    assert [bar.get_width() for bar in drawn(hits, "bar")] == [90, 50]
    assert [label.get_text() for label in times.get_xticklabels()] == ["64 px\n1.0 MB", "96 px\n4.0 MB"]


def test_rows_arrive_in_order_and_at_random():
    (ax,) = plot_rows(STUDY).axes
    in_order, at_random = drawn(ax, "curve")
    assert in_order.get_label() == "in order" and list(in_order.get_ydata()) == [20, 9]
    assert list(at_random.get_xdata()) == [0.25, 8] and list(at_random.get_ydata()) == [10, 2]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.25", "8"] and ax.get_ylim()[0] == 0


def test_charts_and_three_warps_stay_on_the_page():
    warps = plot_warp({title: 4 * torch.arange(32) for title in ("one", "two", "three")})
    for figure in (plot_growth(STUDY), plot_disorder(STUDY), warps):
        assert figure.get_figwidth() <= PAGE_INCHES
    assert [ax.get_subplotspec().colspan.start for ax in warps.axes] == [0, 1, 2]
