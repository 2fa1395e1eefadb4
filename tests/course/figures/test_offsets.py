"""The pictures of the initial offsets, checked by what was drawn."""

import pytest
import torch

from defdetr_ref.attention import star_offsets
from defdetr_ref.course.figures.offsets import (
    HEAD_COLOURS,
    different_places,
    offset_facts,
    place_facts,
    plot_offsets,
    plot_places,
    straight_rays,
)
from defdetr_ref.explain.style import REFERENCE_GREEN

HEADS, POINTS = 8, 3
HEIGHT, WIDTH = 10, 14


def star() -> torch.Tensor:
    return star_offsets(HEADS, 2, POINTS)[:, 1]


def lines(ax, gid: str) -> list:
    return [line for line in ax.lines if line.get_gid() == gid]


def test_a_line_for_each_head_through_its_points():
    other = torch.randn(HEADS, POINTS, 2, generator=torch.Generator().manual_seed(0))
    figure = plot_offsets({"star": star(), "other": other})
    assert [ax.get_title() for ax in figure.axes] == ["star", "other"]
    for ax, expected in zip(figure.axes, (star(), other), strict=True):
        heads = lines(ax, "head")
        assert [line.get_color() for line in heads] == list(HEAD_COLOURS)
        torch.testing.assert_close(torch.stack([torch.tensor(line.get_xydata()) for line in heads]).float(), expected)
        (cross,) = lines(ax, "reference point")
        assert cross.get_xydata().tolist() == [[0, 0]] and cross.get_color() == REFERENCE_GREEN


def test_offset_panels_share_a_scale_with_y_downwards_and_hold_every_point():
    small, large = plot_offsets({"small": star(), "large": 2 * star()}).axes
    assert small.get_xlim() == large.get_xlim() and small.get_ylim() == large.get_ylim()
    bottom, top = small.get_ylim()
    assert bottom > 2 * POINTS and top < -2 * POINTS


def test_facts_of_a_star_of_noise_and_of_a_heap():
    noise = torch.randn(HEADS, POINTS, 2, generator=torch.Generator().manual_seed(0))
    facts = offset_facts(plot_offsets({"star": star(), "noise": noise, "heap": torch.zeros(HEADS, POINTS, 2)}))
    assert facts[0] == "star: 8 heads × 3 points in 24 different places, 8 straight rays, farthest coordinate 3.0 px"
    assert "24 different places, 0 straight rays" in facts[1]
    assert facts[2] == "heap: 8 heads × 3 points in 1 different places, 0 straight rays, farthest coordinate 0.0 px"


def test_a_ray_must_be_straight_and_lead_outwards():
    rays = torch.tensor([[[1, 0], [2, 0]], [[1, 0], [2, 1]], [[2, 0], [1, 0]], [[0, 1], [0, 1]]]).numpy()
    assert straight_rays(rays, torch.zeros(2).numpy()) == 1
    assert straight_rays(rays + 5, torch.full((2,), 5).numpy()) == 1


def test_places_that_differ_by_rounding_are_one():
    points = torch.tensor([[[1, 2], [1, 2 + 1e-6]], [[-1e-6, 0], [0, 0]]]).numpy()
    assert different_places(points) == 2


def test_places_are_drawn_in_pixels_of_a_map_that_is_not_square():
    reference = torch.tensor([0.5, 0.25])
    locations = reference + star() / torch.tensor([WIDTH, HEIGHT])
    references = {"right": reference, "far": reference}
    figure = plot_places({"right": locations, "far": locations + 1}, references, HEIGHT, WIDTH)
    right, far = figure.axes
    drawn = torch.stack([torch.tensor(line.get_xydata()) for line in lines(right, "head")]).float()
    torch.testing.assert_close(drawn, star() + torch.tensor([7.0, 2.5]))
    (frame,) = right.patches
    assert (frame.get_width(), frame.get_height()) == (WIDTH, HEIGHT)
    assert right.yaxis_inverted() and far.get_xlim()[1] > WIDTH * 1.5
    facts = place_facts(figure)
    assert facts[0] == (  # the three rays upwards have their last point half a pixel above the map
        "right: reference at (7.0, 2.5) of 14×10 px (width × height), 21 of 24 points inside, x from 4.0 to 10.0, "
        "y from -0.5 to 5.5"
    )
    assert "0 of 24 points inside" in facts[1]


def test_wrong_entries_are_named():
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_offsets({})
    with pytest.raises(ValueError, match=r"\['a'\] and \['b'\]"):
        plot_places({"a": star()}, {"b": torch.zeros(2)}, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="at least one"):
        plot_places({}, {}, HEIGHT, WIDTH)
