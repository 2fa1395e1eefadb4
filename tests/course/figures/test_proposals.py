"""The pictures of the first stage, checked by what was drawn."""

import numpy as np
import pytest
import torch

from defdetr_ref.course.figures.proposals import centres_drawn, plot_heat_map, plot_proposals
from defdetr_ref.positions import proposal_boxes, split_levels, token_centres, valid_ratios

SHAPES = [(6, 10), (3, 5), (2, 3)]
HEIGHT, WIDTH = 48, 80
VALID_ROWS, VALID_COLUMNS = 4, 7  # of the finest level


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def mask() -> torch.Tensor:
    """(token,), True on padding: 4 × 7, 2 × 4 and 2 × 3 pixels remain."""
    levels = []
    for (height, width), (rows, columns) in zip(SHAPES, [(VALID_ROWS, VALID_COLUMNS), (2, 4), (2, 3)], strict=True):
        level = torch.ones(height, width, dtype=torch.bool)
        level[:rows, :columns] = False
        levels.append(level.flatten())
    return torch.cat(levels)


def proposals(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    levels = [one.view(1, *shape) for one, shape in zip(split_levels(mask[None], SHAPES), SHAPES, strict=True)]
    ratios = torch.stack([valid_ratios(level) for level in levels], dim=1)
    return proposal_boxes(token_centres(SHAPES, ratios), mask[None], SHAPES)


def drawn(ax, gid: str) -> list:
    return [artist for artist in (*ax.patches, *ax.lines, *ax.images) if artist.get_gid() == gid]


def test_proposals_lie_at_their_centres_and_padding_is_crossed(image, mask):
    boxes, usable = proposals(mask)
    figure = plot_proposals(image, boxes[0], usable[0], SHAPES, valid_size=(32, 56))
    assert centres_drawn(figure) == [(28, 32), (8, 7), (6, 0)]
    titles = [f"level {level}: {height} × {width} pixels" for level, (height, width) in enumerate(SHAPES)]
    assert [ax.get_title() for ax in figure.axes] == titles
    (dots,), (crosses,) = drawn(figure.axes[0], "usable"), drawn(figure.axes[0], "unusable")
    x, y = dots.get_data()
    np.testing.assert_allclose(x, np.tile(np.arange(7) * 8 + 4, 4), rtol=1e-5)
    np.testing.assert_allclose(y, np.repeat(np.arange(4) * 8 + 4, 7), rtol=1e-5)
    x, y = crosses.get_data()
    assert ((x > 56) | (y > 32)).all()


def test_the_drawn_proposal_has_the_side_of_its_level(image, mask):
    boxes, usable = proposals(mask)
    figure = plot_proposals(image, boxes[0], usable[0], SHAPES, valid_size=(32, 56))
    sizes = [(patch.get_width(), patch.get_height()) for ax in figure.axes for patch in drawn(ax, "box")]
    np.testing.assert_allclose(sizes, [(56 * 0.05 * 2**level, 32 * 0.05 * 2**level) for level in range(3)], rtol=1e-5)
    box = drawn(figure.axes[0], "box")[0]
    centre = box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2
    np.testing.assert_allclose(centre, (28, 12), rtol=1e-5)  # of 7 columns the fourth, of 4 rows the second


def test_a_level_without_usable_proposals_has_no_box(image, mask):
    boxes, usable = proposals(mask)
    usable[:, :60] = False
    figure = plot_proposals(image, boxes[0], usable[0], SHAPES)
    assert centres_drawn(figure)[0] == (0, 60) and not drawn(figure.axes[0], "box")


def test_a_heat_map_shows_each_level_and_the_boxes(image):
    scores = torch.arange(81) / 80
    chosen = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.25, 0.75, 0.1, 0.1]])
    truth = torch.tensor([[0.5, 0.5, 0.25, 0.5]])
    figure = plot_heat_map(image, scores, SHAPES, chosen, truth)
    shown = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert len(shown) == 2 + len(SHAPES)  # no empty panel
    maps = [drawn(ax, "heat map")[0] for ax in shown[2:]]
    assert [grid.get_array().shape for grid in maps] == SHAPES
    assert [grid.get_clim() for grid in maps] == [(0, 1)] * 3
    np.testing.assert_allclose(maps[1].get_array()[2, 1], 71 / 80, rtol=1e-6)
    assert all(grid.get_extent() == [0, WIDTH, HEIGHT, 0] for grid in maps)
    (true_box,), boxes = drawn(shown[0], "truth"), drawn(shown[1], "box")
    np.testing.assert_allclose([true_box.get_x(), true_box.get_y()], [30, 12], rtol=1e-5)
    np.testing.assert_allclose([true_box.get_width(), true_box.get_height()], [20, 24], rtol=1e-5)
    assert len(boxes) == 2 and boxes[1].get_x() == pytest.approx(16)
