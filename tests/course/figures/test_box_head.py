"""The pictures of the box head, checked by what was drawn."""

import math

import numpy as np
import pytest
import torch

from defdetr_ref.course.figures.box_head import (
    DecodedBoxes,
    box_facts,
    curve_facts,
    plot_decoded_boxes,
    plot_decoding_curves,
)
from defdetr_ref.explain.style import PAGE_INCHES

HEIGHT, WIDTH = 40, 100
POINT = DecodedBoxes("a point", torch.tensor([0.3, 0.5]), torch.tensor([[0.4, 0.5, 0.2, 0.5]]), ["b = 1"])
TWO_BOXES = torch.tensor([[0.5, 0.5, 0.1, 0.5], [0.6, 0.5, 0.4, 0.25]])
BOX = DecodedBoxes("a box", torch.tensor([0.5, 0.25, 0.2, 0.5]), TWO_BOXES, ["p", "q"])


def artists(ax, gid: str) -> list:
    return [artist for artist in (*ax.patches, *ax.lines) if artist.get_gid() == gid]


def edges(patch) -> list[float]:
    (left, top), width, height = patch.get_xy(), patch.get_width(), patch.get_height()
    return [left, top, left + width, top + height]


def test_curves_pass_through_their_reference_at_zero_and_follow_the_sigmoid():
    figure = plot_decoding_curves([0.1, 0.5, 0.8])
    ax = figure.axes[0]
    assert [dot.get_xydata().tolist() for dot in artists(ax, "reference")] == [[[0, 0.1]], [[0, 0.5]], [[0, 0.8]]]
    for curve, reference in zip(artists(ax, "curve"), (0.1, 0.5, 0.8), strict=True):
        says, number = curve.get_data()
        start = math.log(reference / (1 - reference))
        np.testing.assert_allclose(number, 1 / (1 + np.exp(-(says + start))), rtol=1e-4)
    assert curve_facts(figure)[1] == "reference 0.5: 0.002 at b = -6, 0.500 at b = 0, 0.998 at b = 6"


def test_boxes_stand_in_pixels_of_an_image_that_is_not_square():
    figure = plot_decoded_boxes([POINT, BOX], HEIGHT, WIDTH)
    point, box = figure.axes
    np.testing.assert_allclose(edges(artists(point, "box")[0]), [30, 10, 50, 30], rtol=1e-5)
    np.testing.assert_allclose(artists(point, "reference")[0].get_xydata(), [[30, 20]], rtol=1e-6)
    assert artists(point, "reference box") == []
    (dashed,) = artists(box, "reference box")
    np.testing.assert_allclose(edges(dashed), [40, 0, 60, 20], rtol=1e-5)
    assert dashed.get_linestyle() == "--"
    assert (box.get_xlim(), box.get_ylim()) == ((0, WIDTH), (HEIGHT, 0))
    assert box_facts(figure) == [
        "a point: b = 1 → (40.0, 20.0) 20.0×20.0",
        "a box: p → (50.0, 20.0) 10.0×20.0; q → (60.0, 20.0) 40.0×10.0",
    ]


def test_three_examples_stand_in_one_row_on_the_page():
    figure = plot_decoded_boxes([POINT, BOX, POINT], HEIGHT, WIDTH)
    assert figure.get_figwidth() <= PAGE_INCHES
    assert [ax.get_subplotspec().colspan.start for ax in figure.axes] == [0, 1, 2]


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match="a reference is 1.0; it must lie between 0 and 1"):
        plot_decoding_curves([0.2, 1.0])
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_decoded_boxes([], HEIGHT, WIDTH)
