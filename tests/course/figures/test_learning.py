"""The pictures of a training run, checked by what was drawn."""

import numpy as np
import pytest
import torch

from defdetr_ref.course.figures.learning import (
    interpolated_precision,
    plot_learning_rates,
    plot_loss_terms,
    plot_points_over_time,
    plot_precision_recall,
)
from defdetr_ref.explain.recording import AttentionRecord
from defdetr_ref.training import TrainConfig

HEIGHT, WIDTH = 40, 60


def drawn(ax, gid: str) -> list:
    return [artist for artist in (*ax.patches, *ax.lines, *ax.collections) if artist.get_gid() == gid]


def test_loss_terms_are_drawn_by_step():
    history = [{"a": 4.0, "b": 1.0, "c": 9.0}, {"a": 2.0, "b": 0.5, "c": 9.0}, {"a": 1.0, "b": 0.1, "c": 9.0}]
    (ax,) = plot_loss_terms(history, ["b", "a"]).axes
    lines = drawn(ax, "curve")
    assert [line.get_label() for line in lines] == ["b", "a"]
    assert list(lines[0].get_xdata()) == [1, 2, 3] and list(lines[0].get_ydata()) == [1.0, 0.5, 0.1]
    assert ax.get_yscale() == "log"


def test_no_loss_terms_are_refused():
    with pytest.raises(ValueError, match="history is empty"):
        plot_loss_terms([], ["a"])


def test_learning_rates_follow_the_schedule():
    groups = [{"name": "rest", "full_lr": 1.0}, {"name": "slow", "full_lr": 0.1}]
    config = TrainConfig(epochs=5, warmup_steps=2)  # the drop is after four epochs
    (ax,) = plot_learning_rates(groups, config, steps_per_epoch=3).axes
    rest, slow = drawn(ax, "curve")
    assert [rest.get_label(), slow.get_label()] == ["rest", "slow"]
    np.testing.assert_allclose(rest.get_xdata(), np.arange(15) / 3)
    np.testing.assert_allclose(rest.get_ydata(), [0.5] + [1.0] * 11 + [0.1] * 3)
    np.testing.assert_allclose(slow.get_ydata(), np.array(rest.get_ydata()) / 10)


def test_precision_is_the_best_at_no_less_recall():
    recall = torch.tensor([0.25, 0.25, 0.5, 0.75], dtype=torch.float64)
    precision = torch.tensor([1.0, 0.5, 2 / 3, 0.75], dtype=torch.float64)
    best = interpolated_precision(recall, precision)
    np.testing.assert_allclose(best, [1.0] * 26 + [0.75] * 50 + [0.0] * 25)


def test_the_title_is_the_area_of_the_shaded_curve():
    recall, precision = torch.tensor([0.5, 0.5, 1.0]).double(), torch.tensor([1.0, 0.5, 2 / 3]).double()
    (ax,) = plot_precision_recall(recall, precision).axes
    assert ax.get_title() == f"average precision {(51 + 50 * 2 / 3) / 101:.3f}"
    (curve,), (dots,) = drawn(ax, "curve"), drawn(ax, "detection")
    assert list(curve.get_ydata()[[0, 50, 51, 100]]) == pytest.approx([1, 1, 2 / 3, 2 / 3])
    assert list(dots.get_xdata()) == [0.5, 0.5, 1.0]
    assert len(drawn(ax, "area")) == 1


def a_record(shift: float, weight: float = 1 / 8) -> AttentionRecord:
    weights = torch.full((2, 5, 3, 2, 4), weight)
    locations = torch.full((2, 5, 3, 2, 4, 2), 0.25) + shift * torch.arange(5)[:, None, None, None, None]
    references = torch.full((2, 5, 2, 4), 0.5)
    name, shapes = "decoder.layers.0.cross_attention", ((4, 6), (2, 3))
    return AttentionRecord(name, "decoder", 0, references, locations, weights, shapes)


def test_points_of_each_moment_are_those_of_its_query():
    image = torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))
    boxes = torch.tensor([[5.0, 6.0, 30.0, 20.0], [15.0, 6.0, 40.0, 20.0]])
    records = [a_record(0.0), a_record(0.1, weight=0.5)]
    figure = plot_points_over_time(records, [1, 3], image, titles=["before", "after"], boxes=boxes)
    before, after = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert [before.get_title(), after.get_title()] == ["before", "after"]
    (first_dots,), (last_dots,) = drawn(before, "sampling point"), drawn(after, "sampling point")
    assert first_dots.get_clim() == last_dots.get_clim() == (0, pytest.approx(0.5))  # the heavier moment's
    assert before.get_xlim() == after.get_xlim() and before.get_ylim() == after.get_ylim()
    for ax, share, left in ((before, 0.25, 5), (after, 0.55, 15)):
        (dots,), (box,) = drawn(ax, "sampling point"), drawn(ax, "box")
        np.testing.assert_allclose(dots.get_offsets(), np.tile([share * WIDTH, share * HEIGHT], (24, 1)), rtol=1e-5)
        assert box.get_x() == left
        assert ax.get_xlim()[1] - ax.get_xlim()[0] == pytest.approx(56)  # 1.6 times what both boxes take up


def test_unequal_numbers_of_moments_are_refused():
    with pytest.raises(ValueError, match="equally many"):
        plot_points_over_time([a_record(0.0)], [1, 2], torch.zeros(3, 4, 6), titles=["before"], boxes=torch.zeros(1, 4))
