"""The picture of dense and deformable attention, checked by what was drawn."""

import numpy as np
import pytest
import torch

from defdetr_ref.course.figures.attention import DOT_ROOM, LARGEST_DOT, attention_facts, plot_dense_and_deformable
from defdetr_ref.explain.style import REFERENCE_GREEN

HEIGHT, WIDTH, QUERIES, HEADS, POINTS = 20, 30, 2, 3, 5


def drawn(titles=("one", "other"), shift=0.0):
    rng = torch.Generator().manual_seed(0)
    dense = torch.rand(QUERIES, 4, 6, generator=rng).flatten(1).softmax(-1).view(QUERIES, 4, 6)
    locations = 0.3 + 0.4 * torch.rand(QUERIES, HEADS, POINTS, 2, generator=rng) + shift
    weights = torch.randn(QUERIES, HEADS, POINTS, generator=rng).softmax(-1)
    references = torch.tensor([[0.5, 0.25], [0.1, 0.9]])
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return plot_dense_and_deformable(image, dense, locations, weights, references, titles), dense, locations, weights


def shown(figure):
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def test_a_dot_for_each_point_with_its_weight_as_area():
    figure, _, locations, weights = drawn()
    for query, ax in enumerate(shown(figure)[1::2]):
        heads = [dots for dots in ax.collections if dots.get_gid() == "head"]
        assert len({tuple(dots.get_facecolor()[0]) for dots in heads}) == len(heads) == HEADS
        for head, dots in enumerate(heads):
            expected = locations[query, head].numpy() * [WIDTH, HEIGHT]
            np.testing.assert_allclose(dots.get_offsets(), expected, rtol=1e-5)
            np.testing.assert_allclose(dots.get_sizes(), LARGEST_DOT * weights[query, head].numpy(), rtol=1e-5)


def test_heat_covers_the_image_and_shows_the_weights():
    figure, dense, _, _ = drawn()
    for query, ax in enumerate(shown(figure)[::2]):
        (heat,) = (picture for picture in ax.images if picture.get_gid() == "heat")
        np.testing.assert_allclose(heat.get_array(), dense[query])
        assert heat.get_extent() == [0, WIDTH, HEIGHT, 0]


def test_heat_maps_share_one_scale_and_one_bar():
    figure, dense, _, _ = drawn()
    limits = [picture.get_clim() for ax in figure.axes for picture in ax.images if picture.get_gid() == "heat"]
    assert limits == [(0, pytest.approx(dense.max().item()))] * QUERIES and dense[0].max() != dense[1].max()
    assert len([ax for ax in figure.axes if ax.get_label() == "<colorbar>"]) == 1


def test_every_panel_has_its_querys_reference_point():
    crosses = []
    for ax in shown(drawn()[0]):
        (line,) = (line for line in ax.lines if line.get_gid() == "reference point")
        assert line.get_color() == REFERENCE_GREEN
        crosses.append(line.get_xydata()[0].round(4).tolist())
    assert crosses == [[15, 5], [15, 5], [3, 18], [3, 18]]


def test_a_point_outside_the_image_is_drawn_whole():
    figure, _, locations, _ = drawn(shift=0.4)
    right, low = locations[..., 0].max().item() * WIDTH, locations[..., 1].max().item() * HEIGHT
    assert right > WIDTH and low > HEIGHT
    for ax in shown(figure):
        assert ax.get_xlim() == (0, pytest.approx(right + DOT_ROOM))
        assert ax.get_ylim() == (pytest.approx(low + DOT_ROOM), 0)


def test_facts_and_titles():
    figure, dense, _, _ = drawn()
    assert attention_facts(figure) == [
        "one: dense: 24 of 24 tokens read, together 1.00, the largest weight 0.062",
        "one: deformable: 15 points of 3 heads, each head's weights add up to 1.00",
        f"other: dense: 24 of 24 tokens read, together 1.00, the largest weight {dense[1].max():.3f}",
        "other: deformable: 15 points of 3 heads, each head's weights add up to 1.00",
    ]
    with pytest.raises(ValueError, match="1 titles for 2 queries"):
        drawn(titles=["one"])
