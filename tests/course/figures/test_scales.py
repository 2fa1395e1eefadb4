"""The picture of one query on every level, checked by what was drawn."""

import numpy as np
import pytest
import torch

from defdetr_ref.course.figures.scales import level_facts, plot_levels

HEADS, POINTS = 5, 4
SHAPES = [(8, 12), (4, 6), (2, 50)]  # the last is too wide for grid lines
generator = torch.Generator().manual_seed(0)
LOCATIONS = 0.2 + 0.6 * torch.rand(HEADS, len(SHAPES), POINTS, 2, generator=generator)
WEIGHTS = torch.rand(HEADS, len(SHAPES), POINTS, generator=generator).flatten(1).softmax(-1).unflatten(-1, (3, POINTS))
REFERENCES = torch.tensor([[0.5, 0.25], [0.5, 0.25], [0.4, 0.3]])


def artists(ax, gid: str) -> list:
    return [artist for artist in (*ax.collections, *ax.patches, *ax.lines) if artist.get_gid() == gid]


def test_each_level_shows_its_own_points_in_its_own_pixels():
    figure = plot_levels(LOCATIONS, WEIGHTS, REFERENCES, SHAPES)
    for level, (ax, (height, width)) in enumerate(zip(figure.axes, SHAPES, strict=True)):
        (dots,) = artists(ax, "sampling point")
        expected = LOCATIONS[:, level].reshape(-1, 2).numpy() * [width, height]
        np.testing.assert_allclose(dots.get_offsets(), expected, rtol=1e-5)
        np.testing.assert_allclose(dots.get_array(), WEIGHTS[:, level].flatten())
        assert dots.get_clim() == (0, pytest.approx(WEIGHTS.max().item()))
        (cross,) = artists(ax, "reference point")
        np.testing.assert_allclose(cross.get_xydata()[0], REFERENCES[level].numpy() * [width, height], rtol=1e-6)
        (frame,) = artists(ax, "level")
        assert (frame.get_width(), frame.get_height()) == (width, height)
        bottom, top = ax.get_ylim()
        assert bottom > height and top < 0  # y downwards


def test_grid_lines_stand_between_the_pixels_unless_there_are_too_many():
    fine, coarse, wide = plot_levels(LOCATIONS, WEIGHTS, REFERENCES, SHAPES).axes
    assert [len(lines.get_segments()) for lines in fine.collections[:2]] == [11, 7]
    assert [len(lines.get_segments()) for lines in coarse.collections[:2]] == [5, 3]
    assert len(wide.collections) == 1


def test_padding_is_hatched_right_and_below_without_overlap():
    ratios = torch.tensor([[0.5, 0.75], [1.0, 0.5], [1.0, 1.0]])
    figure = plot_levels(LOCATIONS, WEIGHTS, REFERENCES, SHAPES, ratios)
    edges = [[(*p.get_xy(), p.get_width(), p.get_height()) for p in artists(ax, "padding")] for ax in figure.axes]
    assert edges == [[(6, 0, 6, 8), (0, 6, 6, 2)], [(0, 2, 6, 2)], []]
    assert [fact.rpartition(", ")[2] for fact in level_facts(figure)] == ["62 % padding", "50 % padding", "0 % padding"]


def test_facts_are_read_from_the_picture():
    locations = LOCATIONS.clone()
    locations[0, 1, 0, 0], locations[1, 1, 2, 1] = -0.1, 1.2
    weights = torch.full_like(WEIGHTS, 1 / (3 * POINTS))
    facts = level_facts(plot_levels(locations, weights, REFERENCES, SHAPES))
    assert facts[1] == (
        "level 1: 4×6: reference at (3.00, 1.00) px = (0.50, 0.25), 20 points, 2 outside, weights add up to 1.67, "
        "0 % padding"
    )
    assert "0 outside" in facts[0]


def test_a_point_is_drawn_whole_or_counted_below_its_level():
    locations = 0.2 + 0.6 * torch.rand(HEADS, len(SHAPES), POINTS, 2, generator=torch.Generator().manual_seed(1))
    locations[0, 1, 0, 0], locations[1, 1, 2, 1], locations[2, 1, 3, 0] = -0.25, 1.3, -0.251
    figure = plot_levels(locations, WEIGHTS, REFERENCES, SHAPES)
    (dots,) = artists(figure.axes[1], "sampling point")
    sizes = dots.get_sizes().reshape(HEADS, POINTS)
    assert sizes[0, 0] > 0 and sizes[1, 2] == sizes[2, 3] == 0 and (sizes == 0).sum() == 2
    assert not dots.get_clip_on()  # half of the point on the picture's edge would be cut off
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "and 2 farther out", ""]


def test_a_missing_shape_is_named():
    with pytest.raises(ValueError, match="3 levels have points, but spatial_shapes has 2"):
        plot_levels(LOCATIONS, WEIGHTS, REFERENCES, SHAPES[:2])
