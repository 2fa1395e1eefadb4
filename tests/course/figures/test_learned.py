"""Charts of what a detector has learned, checked by what was drawn."""

import pytest

from defdetr_ref.course.figures.learned import chart_facts, plot_bars, plot_lines

GROUPS = {"small": [70.4, 20.0, 9.6], "large": [50.0, 30.0, 20.0]}
LINES = {"first": {0: 10.0, 4: 30.2}, "second": {0: 5.0, 4: 6.0, 8: 7.7}}


def test_each_group_has_a_bar_for_each_name():
    figure = plot_bars(GROUPS, ["a", "b", "c"], "shares", "%", top=100)
    (ax,) = figure.axes
    heights = [[bar.get_height() for bar in container] for container in ax.containers]
    assert heights == [[70.4, 50.0], [20.0, 30.0], [9.6, 20.0]]  # by name
    centres = sorted(bar.get_x() + bar.get_width() / 2 for container in ax.containers for bar in container)
    assert centres == pytest.approx([-0.8 / 3, 0, 0.8 / 3, 1 - 0.8 / 3, 1, 1 + 0.8 / 3])
    assert ax.get_ylim() == (0, 100) and ax.get_title() == "shares"
    assert chart_facts(figure) == ["small: a 70, b 20, c 10", "large: a 50, b 30, c 20"]


def test_lines_start_at_zero_and_the_upright_stands_where_it_is_asked_for():
    figure = plot_lines(LINES, "growth", "epoch", "%", upright=3)
    (ax,) = figure.axes
    assert [line.get_xydata().tolist() for line in ax.lines if line.get_gid() == "line"] == [
        [[0, 10.0], [4, 30.2]],
        [[0, 5.0], [4, 6.0], [8, 7.7]],
    ]
    (upright,) = (line for line in ax.lines if line.get_gid() == "upright")
    assert list(upright.get_xdata()) == [3, 3]
    assert ax.get_ylim()[0] == 0
    assert chart_facts(figure) == ["first: 0 → 10, 4 → 30", "second: 0 → 5, 4 → 6, 8 → 8"]


def test_nothing_to_draw_is_told():
    with pytest.raises(ValueError, match="each group needs 2 numbers"):
        plot_bars({"small": [1.0]}, ["a", "b"], "", "")
    with pytest.raises(ValueError, match="each group needs 1 numbers"):
        plot_bars({}, ["a"], "", "")
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_lines({}, "", "", "")
