"""The pictures of attention matrices, checked by what was drawn."""

import numpy as np
import pytest
import torch

from defdetr_ref.course.figures.relatives import matrix_facts, plot_matrices, plot_row, rank, row_facts
from defdetr_ref.explain.style import PAGE_INCHES

HEIGHT, WIDTH = 2, 3
generator = torch.Generator().manual_seed(0)
BAND = torch.eye(6) + torch.diag(torch.ones(5), 1)  # each token and the next …
BAND[5, :4] = 1  # … and the last one more: rows and columns are not alike
FLAT = torch.rand(6, 1, generator=generator) @ torch.rand(1, 6, generator=generator)
MATRICES = {"band": BAND, "flat": FLAT}
LARGEST = 1.0  # of all their numbers; it is in the band


def drawn_panels(figure) -> list:
    *panels, bar = figure.axes  # the bar of colours is drawn last
    assert len(panels) == len(MATRICES) and bar.get_ylim() == (0, LARGEST)
    return panels


def test_each_matrix_has_a_panel_with_rows_for_queries():
    for ax, matrix in zip(drawn_panels(plot_matrices(MATRICES)), MATRICES.values(), strict=True):
        (picture,) = ax.images
        drawn = picture.get_array()
        np.testing.assert_array_equal(np.ma.filled(drawn, 0), matrix.numpy())
        np.testing.assert_array_equal(np.ma.getmaskarray(drawn), matrix.numpy() == 0)  # zeros are white
        assert picture.get_clim() == (0, LARGEST)  # the same for all
        assert picture.origin == "upper"


def test_a_number_has_the_same_colour_in_every_panel_and_a_small_one_can_be_told_from_none():
    band, flat = (ax.images[0] for ax in drawn_panels(plot_row(MATRICES, 3, HEIGHT, WIDTH)))
    numbers = [0.0, 0.01, 0.3, LARGEST]
    np.testing.assert_array_equal(band.to_rgba(numbers), flat.to_rgba(numbers))
    np.testing.assert_allclose(band.norm(0.01), 0.1)  # the root


def test_matrix_facts_are_read_from_the_picture():
    assert matrix_facts(plot_matrices(MATRICES)) == [
        "band: 6×6, 2 to 5 keys for each query, 42 % not zero, rank 6",
        "flat: 6×6, 6 keys for each query, 100 % not zero, rank 1",
    ]


def test_a_row_is_laid_out_as_the_map():
    figure = plot_row(MATRICES, 3, HEIGHT, WIDTH)
    band, flat = drawn_panels(figure)
    np.testing.assert_array_equal(np.ma.filled(band.images[0].get_array(), 0), [[0, 0, 0], [1, 1, 0]])
    np.testing.assert_allclose(flat.images[0].get_array(), FLAT[3].view(HEIGHT, WIDTH).numpy())
    (query,) = (line for line in band.lines if line.get_gid() == "query")
    assert query.get_xydata().tolist() == [[0, 1]]  # column, row of token 3
    assert row_facts(figure) == ["band: 2 pixels, the farthest 1 away", "flat: 6 pixels, the farthest 2 away"]


def test_what_is_only_rounding_is_white():
    (picture,) = plot_matrices({"star": torch.tensor([[0.5, 1e-8], [2e-6, 0.0]])}).axes[0].images
    np.testing.assert_array_equal(np.ma.getmaskarray(picture.get_array()), [[False, True], [False, True]])


@pytest.mark.parametrize(("count", "columns"), [(2, 2), (4, 2), (5, 3)])
def test_many_panels_stay_on_the_page_in_rows_with_one_scale_and_one_bar(count, columns):
    entries = {f"number {entry}": (1 + entry) * FLAT for entry in range(count)}
    for figure in (plot_matrices(entries), plot_row(entries, 3, HEIGHT, WIDTH)):
        *shown, bar = figure.axes
        assert figure.get_figwidth() <= PAGE_INCHES
        assert [ax.get_title() for ax in shown] == list(entries)
        places = [ax.get_subplotspec() for ax in shown]
        assert [(place.rowspan.start, place.colspan.start) for place in places] == [
            divmod(entry, columns) for entry in range(count)
        ]
        assert {ax.images[0].get_clim() for ax in shown} == {bar.get_ylim()}
    rows_begin = [ax.get_ylabel() == "query" for ax in plot_matrices(entries).axes[:count]]
    assert rows_begin == [entry % columns == 0 for entry in range(count)]


@pytest.mark.parametrize("count", [1, 5])
def test_the_frame_is_no_larger_than_a_pixel(count):
    wide = torch.rand(40, 40, generator=generator)
    figure = plot_row({f"wide {entry}": wide for entry in range(count)}, 3, 4, 10)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    (query,) = (line for line in ax.lines if line.get_gid() == "query")
    side = query.get_markersize() / 72 * figure.dpi
    (left, top), (right, bottom) = ax.transData.transform([(0, 0), (1, 1)])
    assert 0.4 * (right - left) < side < min(right - left, top - bottom)


def test_rank_does_not_count_rounding():
    factors = torch.rand(7, 2, generator=generator), torch.rand(2, 5, generator=generator)
    assert rank(factors[0] @ factors[1]) == 2
    assert rank(torch.eye(4, 6)) == 4


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_matrices({})
    with pytest.raises(ValueError, match="'band' has 6 keys, not 2·4 = 8"):
        plot_row(MATRICES, 0, 2, 4)
