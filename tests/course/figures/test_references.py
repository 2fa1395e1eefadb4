"""The pictures of reference points, checked by what was drawn."""

import numpy as np
import pytest
import torch

from defdetr_ref.course.figures.references import plot_query_references, plot_token_references, query_facts, token_facts
from defdetr_ref.explain.style import PAGE_INCHES
from defdetr_ref.positions import encoder_reference_points

SHAPES = [(4, 6), (2, 3)]
RATIOS = torch.tensor([[[0.5, 1.0], [2 / 3, 1.0]], [[1.0, 0.75], [1.0, 1.0]]])
FINE_MASK = torch.zeros(2, 4, 6, dtype=torch.bool)
FINE_MASK[0, :, 3:], FINE_MASK[1, 3:] = True, True
COARSE_MASK = torch.zeros(2, 2, 3, dtype=torch.bool)
COARSE_MASK[0, :, 2:] = True
MASK = torch.cat([FINE_MASK.flatten(1), COARSE_MASK.flatten(1)], dim=1)
REFERENCES = encoder_reference_points(SHAPES, RATIOS)


def drawn(ax, gid: str) -> np.ndarray:
    lines = [line for line in ax.lines if line.get_gid() == gid]
    return lines[0].get_xydata() if lines else np.empty((0, 2))


def padding(ax) -> list[tuple]:
    return [(*p.get_xy(), p.get_width(), p.get_height()) for p in ax.patches if p.get_gid() == "padding"]


def test_each_image_has_a_row_and_each_level_a_column_in_its_own_pixels():
    figure = plot_token_references(REFERENCES, MASK, RATIOS, SHAPES, of_level=1)
    assert [ax.get_title() for ax in figure.axes] == [
        "image 0, level 0: 4×6", "image 0, level 1: 2×3", "image 1, level 0: 4×6", "image 1, level 1: 2×3"
    ]  # fmt: skip
    own = figure.axes[1]
    centres = [[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [1.5, 1.5]]
    np.testing.assert_allclose(drawn(own, "reference point"), centres, rtol=1e-5)
    np.testing.assert_allclose(drawn(own, "reference of padding"), [[2.5, 0.5], [2.5, 1.5]], rtol=1e-5)
    finer = figure.axes[0]  # 3 of 6 columns are image: pixel 0.5 of 2 is a quarter of the image, so 0.75 of 3
    np.testing.assert_allclose(drawn(finer, "reference point")[0], [0.75, 1.0], rtol=1e-5)
    assert padding(finer) == [(3, 0, 3, 4)] and padding(figure.axes[2]) == [(0, 3, 6, 1)]
    assert len(drawn(figure.axes[3], "reference of padding")) == 0


def test_the_level_chosen_is_the_one_drawn():
    figure = plot_token_references(REFERENCES, MASK, RATIOS, SHAPES, of_level=0)
    assert [len(drawn(ax, "reference point")) for ax in figure.axes] == [12, 12, 18, 18]
    assert [len(drawn(ax, "reference of padding")) for ax in figure.axes] == [12, 12, 6, 6]


def test_token_facts_are_read_from_the_picture():
    others = REFERENCES.clone()
    others[0, -6, 0, 0] += 0.5  # a pixel of level 1 in image 0, seen on level 0: 3 px of 6
    figure = plot_token_references(REFERENCES, MASK, RATIOS, SHAPES, of_level=1, others=others)
    assert token_facts(figure)[:2] == [
        "image 0, level 0: 4×6: 4 of image, 2 of padding, the image's last at (2.25, 3.00) px, "
        "circles up to 3.00 px away",
        "image 0, level 1: 2×3: 4 of image, 2 of padding, the image's last at (1.50, 1.50) px, circles on the crosses",
    ]
    without = token_facts(plot_token_references(REFERENCES, MASK, RATIOS, SHAPES, of_level=1))
    assert without[3] == "image 1, level 1: 2×3: 6 of image, 0 of padding, the image's last at (2.50, 1.50) px"


def test_queries_on_padding_stand_out():
    places = torch.tensor([[0.4, 0.5], [0.6, 0.5], [0.4, 0.9]])
    ratios = {"both": torch.tensor([0.5, 0.75]), "none": torch.tensor([1.0, 1.0])}
    figure = plot_query_references(dict.fromkeys(ratios, places), ratios, 4, 10)
    both, none = figure.axes
    np.testing.assert_allclose(drawn(both, "on the image"), [[4, 2]], rtol=1e-6)
    np.testing.assert_allclose(drawn(both, "on padding"), [[6, 2], [4, 3.6]], rtol=1e-6)
    assert len(drawn(none, "on the image")) == 3
    assert padding(both) == [(5, 0, 5, 4), (0, 3, 5, 1)]
    assert query_facts(figure) == ["both: 3 references, 2 on padding", "none: 3 references, 0 on padding"]


def test_three_levels_and_four_groups_of_queries_stay_on_the_page():
    shapes = [(8, 12), *SHAPES]
    mask, ratios = torch.zeros(2, 8 * 12 + MASK.shape[1], dtype=torch.bool), torch.ones(2, 3, 2)
    tokens = plot_token_references(encoder_reference_points(shapes, ratios), mask, ratios, shapes, of_level=1)
    queries = plot_query_references(
        dict.fromkeys("abcd", torch.rand(5, 2)), dict.fromkeys("abcd", torch.ones(2)), 4, 10
    )
    assert tokens.get_figwidth() <= PAGE_INCHES and queries.get_figwidth() <= PAGE_INCHES
    assert [ax.get_title() for ax in queries.axes] == list("abcd")


def test_wrong_levels_and_entries_are_named():
    with pytest.raises(ValueError, match="of_level is 2, but there are 2 levels"):
        plot_token_references(REFERENCES, MASK, RATIOS, SHAPES, of_level=2)
    with pytest.raises(ValueError, match=r"got \['a'\] and \['b'\]"):
        plot_query_references({"a": torch.zeros(1, 2)}, {"b": torch.ones(2)}, 4, 6)
    with pytest.raises(ValueError, match="at least one"):
        plot_query_references({}, {}, 4, 6)
