"""The pictures of matching and focal loss, checked by what was drawn."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from defdetr_ref.course.figures.matching import NOBODY, lines_drawn, plot_cost_matrix, plot_focal_loss, plot_matching
from defdetr_ref.explain.style import category_colour

HEIGHT, WIDTH = 40, 60
BOXES = torch.tensor([[0.2, 0.5, 0.2, 0.4], [0.5, 0.5, 0.1, 0.1], [0.7, 0.2, 0.2, 0.2], [0.4, 0.8, 0.3, 0.2]])
TARGETS = torch.tensor([[0.7, 0.3, 0.2, 0.2], [0.25, 0.5, 0.2, 0.4]])
ASSIGNMENT = (torch.tensor([0, 2]), torch.tensor([1, 0]))


def drawn(ax, gid: str) -> list:
    return [artist for artist in (*ax.patches, *ax.lines, *ax.images, *ax.texts) if artist.get_gid() == gid]


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))


def test_every_match_is_a_line_between_its_two_boxes(image):
    figure = plot_matching(image, BOXES, TARGETS, ASSIGNMENT)
    assert lines_drawn(figure) == 2
    lines = [artist for artist in figure.artists + figure.patches if artist.get_gid() == "match"]
    np.testing.assert_allclose([lines[0].xy1, lines[0].xy2], [(18, 20), (9, 20)], rtol=1e-5)
    np.testing.assert_allclose([lines[1].xy1, lines[1].xy2], [(48, 8), (36, 12)], rtol=1e-5)


def test_a_pair_shares_a_colour_and_the_unmatched_are_grey(image):
    left, right = plot_matching(image, BOXES, TARGETS, ASSIGNMENT, names=["cross", "star"]).axes
    queries = [to_hex(patch.get_edgecolor()) for patch in drawn(left, "box")]
    expected = [category_colour(1), NOBODY, category_colour(0), NOBODY]
    assert queries == [colour.lower() for colour in expected]
    assert [to_hex(patch.get_edgecolor()) for patch in drawn(right, "box")] == [
        category_colour(index).lower() for index in (0, 1)
    ]
    assert [text.get_text() for text in right.texts] == ["cross", "star"]


def test_the_cost_matrix_shows_its_numbers_and_frames_the_choice():
    cost = torch.tensor([[1.0, 2.25], [-0.5, 4.0], [7.0, 3.0]])
    (ax,) = plot_cost_matrix(cost, (torch.tensor([1, 2]), torch.tensor([0, 1]))).axes
    texts = {text.get_position(): text.get_text() for text in drawn(ax, "cost") if hasattr(text, "get_text")}
    assert texts == {(0, 0): "1.00", (1, 0): "2.25", (0, 1): "-0.50", (1, 1): "4.00", (0, 2): "7.00", (1, 2): "3.00"}
    centres = [(round(frame.get_x() + 0.47), round(frame.get_y() + 0.47)) for frame in drawn(ax, "chosen")]
    assert centres == [(0, 1), (1, 2)]


def test_focal_curves_hold_the_formula():
    left, right = plot_focal_loss((0, 2)).axes
    plain, focal = drawn(left, "curve")
    p = plain.get_xdata()
    assert p[0] == pytest.approx(0.005) and p[-1] == pytest.approx(0.995) and len(p) == 199
    np.testing.assert_allclose(plain.get_ydata(), -np.log(p))
    np.testing.assert_allclose(focal.get_ydata(), (1 - p) ** 2 * -np.log(p))
    one, zero = drawn(right, "curve")
    np.testing.assert_allclose(one.get_ydata(), 0.25 * (1 - p) ** 2 * -np.log(p), rtol=1e-9)
    np.testing.assert_allclose(zero.get_ydata(), 0.75 * p**2 * -np.log(1 - p), rtol=1e-9)
    (prior,) = drawn(right, "prior")
    assert list(prior.get_xdata()) == [0.01, 0.01]
