"""The picture of tokens, checked by what was drawn."""

import numpy as np
import pytest

from defdetr_ref.course.figures.tokens import plot_tokens, token_facts

HEIGHT, WIDTH = 40, 56
BOX = (8.0, 16.0, 24.0, 40.0)  # 16 × 24 pixels


def drawn():
    return plot_tokens(np.zeros((HEIGHT, WIDTH, 3), np.uint8), BOX, [8, 16, 32])


def by_gid(artists, gid):
    return [artist for artist in artists if artist.get_gid() == gid]


def test_tokens_are_the_cells_whose_middle_lies_in_the_box():
    places = [[patch.get_xy() for patch in by_gid(ax.patches, "token")] for ax in drawn().axes]
    assert places[0] == [(8, 16), (16, 16), (8, 24), (16, 24), (8, 32), (16, 32)]
    assert places[1] == [(0, 16)]  # its middle (8, 24) lies on the left edge, which belongs to the box
    assert places[2] == [(0, 0)]


def test_grids_are_rounded_up_and_told():
    figure = drawn()
    assert token_facts(figure) == [
        "stride 8: 5×7 tokens, 6 in the box",
        "stride 16: 3×4 tokens, 1 in the box",
        "stride 32: 2×2 tokens, 1 in the box",
    ]
    lines = [len(by_gid(ax.collections, "grid")[0].get_segments()) for ax in figure.axes]
    assert lines == [6 + 4, 3 + 2, 1 + 1]


def test_the_box_is_drawn_in_every_panel():
    for ax in drawn().axes:
        (box,) = by_gid(ax.patches, "box")
        assert (*box.get_xy(), box.get_width(), box.get_height()) == (8, 16, 16, 24)


def test_without_strides_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="at least one stride"):
        plot_tokens(np.zeros((HEIGHT, WIDTH, 3), np.uint8), BOX, [])
