"""The pictures of the box refinement, checked by what was drawn."""

import numpy as np
import pytest
import torch

from defdetr_ref.course.figures.refinement import bar_facts, plot_box_steps, plot_gradient_bars, step_facts
from defdetr_ref.explain.style import PAGE_INCHES

HEIGHT, WIDTH = 40, 100
TRUTH = torch.tensor([0.5, 0.5, 0.4, 0.5])
REFERENCES = [torch.tensor([0.3, 0.25]), torch.tensor([0.4, 0.5, 0.4, 0.5]), TRUTH]


def artists(ax, gid: str) -> list:
    return [artist for artist in (*ax.patches, *ax.lines) if artist.get_gid() == gid]


def edges(patch) -> list[float]:
    (left, top), width, height = patch.get_xy(), patch.get_width(), patch.get_height()
    return [left, top, left + width, top + height]


def test_a_point_then_boxes_in_pixels_of_an_image_that_is_not_square():
    start, first, second = plot_box_steps(REFERENCES, TRUTH, HEIGHT, WIDTH).axes
    assert artists(start, "box") == []
    np.testing.assert_allclose(artists(start, "reference point")[0].get_xydata(), [[30, 10]], rtol=1e-6)
    np.testing.assert_allclose(edges(artists(first, "box")[0]), [20, 10, 60, 30], rtol=1e-6)
    for ax in (start, first, second):
        (truth,) = artists(ax, "truth")
        np.testing.assert_allclose(edges(truth), [30, 10, 70, 30], rtol=1e-6)
        assert truth.get_linestyle() == "--" and artists(ax, "sampling point") == []
        assert (ax.get_xlim(), ax.get_ylim()) == ((0, WIDTH), (HEIGHT, 0))
    titles = [ax.get_title() for ax in (start, first, second)]
    assert titles == ["start", "after layer 1, IoU 0.60", "after layer 2, IoU 1.00"]


def test_many_steps_stay_on_the_page_in_their_order():
    figure = plot_box_steps([*REFERENCES, TRUTH, TRUTH], TRUTH, HEIGHT, WIDTH)
    assert figure.get_figwidth() <= PAGE_INCHES
    places = [ax.get_subplotspec() for ax in figure.axes]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert [ax.get_title()[:13] for ax in figure.axes[1:]] == [f"after layer {step}" for step in range(1, 5)]


def test_points_are_drawn_with_the_step_that_they_belong_to():
    locations = [torch.rand(count, 2, generator=torch.Generator().manual_seed(count)) for count in (4, 5, 6)]
    figure = plot_box_steps(REFERENCES, TRUTH, HEIGHT, WIDTH, locations)
    for ax, places in zip(figure.axes, locations, strict=True):
        (dots,) = artists(ax, "sampling point")
        np.testing.assert_allclose(dots.get_xydata(), places.numpy() * [WIDTH, HEIGHT], rtol=1e-5)


def test_the_image_lies_behind_and_where_no_layer_comes_next_nothing_is_read():
    image = torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    figure = plot_box_steps(REFERENCES[:2], TRUTH, HEIGHT, WIDTH, [torch.rand(4, 2), torch.empty(0, 2)], image)
    start, first = figure.axes
    for ax in (start, first):
        (picture,) = ax.images
        assert picture.get_extent() == [0, WIDTH, HEIGHT, 0] and picture.get_array().shape == (HEIGHT, WIDTH, 3)
        assert (ax.get_xlim(), ax.get_ylim()) == ((0, WIDTH), (HEIGHT, 0))
    assert start.get_title() == "start" and len(artists(start, "sampling point")) == 1
    assert artists(first, "sampling point") == []
    assert step_facts(figure)[1] == "after layer 1, IoU 0.60: centre (40.0, 20.0) px, size 40.0×20.0 px"


def test_step_facts_are_read_from_the_picture():
    corners = torch.tensor([[0.2, 0.25], [0.6, 0.75]])
    figure = plot_box_steps(REFERENCES[:2], TRUTH, HEIGHT, WIDTH, [corners, corners])
    assert step_facts(figure) == [
        "start: centre (30.0, 10.0) px, no size, 2 points over 40.0×20.0 px",
        "after layer 1, IoU 0.60: centre (40.0, 20.0) px, size 40.0×20.0 px, 2 points over 40.0×20.0 px",
    ]


def test_bars_stand_beside_each_other_in_the_order_of_the_layers():
    figure = plot_gradient_bars({"blocked": [0.0, 0.0, 2.0], "open": [1.0, 3.0, 2.0]})
    blocked, free = figure.axes[0].containers
    assert [bar.get_height() for bar in free] == [1, 3, 2]
    for layer, (left, right) in enumerate(zip(blocked, free, strict=True), start=1):
        assert left.get_x() + left.get_width() <= right.get_x() + 1e-9
        assert left.get_x() > layer - 0.5 and right.get_x() + right.get_width() < layer + 0.5
    assert [text.get_text() for text in figure.axes[0].texts].count("0") == 2
    assert bar_facts(figure) == ["blocked: 3 bars, gradient at head 3", "open: 3 bars, gradient at head 1, 2, 3"]
    assert bar_facts(plot_gradient_bars({"none": [0.0]})) == ["none: 1 bars, gradient at head none"]


def test_wrong_counts_are_named():
    with pytest.raises(ValueError, match="3 references and 1 sets"):
        plot_box_steps(REFERENCES, TRUTH, HEIGHT, WIDTH, [torch.zeros(2, 2)])
    with pytest.raises(ValueError, match="0 references"):
        plot_box_steps([], TRUTH, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match=r"length \[2, 3\]"):
        plot_gradient_bars({"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"length \[\]"):
        plot_gradient_bars({})
