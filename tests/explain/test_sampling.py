"""Sampling points over an image, checked by what was drawn."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from defdetr_ref.explain import plot_attention_pair, plot_sampling_points, share_scale
from defdetr_ref.explain.style import displayable, panels, region_around
from tests.explain.records import HEADS, HEIGHT, LEVELS, POINTS, WIDTH, artists, corners


def test_points_lie_at_the_recorded_locations_lightest_first(record, image):
    figure = plot_sampling_points(record, 5, image, batch_index=1)
    assert isinstance(figure, Figure)
    (dots,) = artists(figure.axes[0], "sampling point")
    weights = record.attention_weights[1, 5].reshape(-1).numpy()
    order = np.argsort(weights)
    expected = record.sampling_locations[1, 5].reshape(-1, 2).numpy() * [WIDTH, HEIGHT]
    assert len(dots.get_offsets()) == HEADS * LEVELS * POINTS
    np.testing.assert_allclose(dots.get_offsets(), expected[order], rtol=1e-6)
    np.testing.assert_allclose(dots.get_array(), weights[order])
    assert (np.diff(dots.get_array()) >= 0).all()  # so the heaviest is painted last, on top


def test_heavier_points_are_lighter_in_colour(record, image):
    (dots,) = artists(plot_sampling_points(record, 0, image).axes[0], "sampling point")
    dots.update_scalarmappable()
    luminance = dots.get_facecolors()[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(luminance) >= -1e-3).all() and luminance[-1] > luminance[0] + 0.2
    assert dots.norm.vmin == 0 and dots.norm.vmax == pytest.approx(dots.get_array().max())


def test_panels_share_the_heaviest_points_scale_and_one_bar(record, image):
    figure, (axes,) = panels(1, 2, (3.0, 2.0))
    heaviest = [record.attention_weights[0, query].max().item() for query in (0, 3)]
    for ax, query in zip(axes, (0, 3), strict=True):
        plot_sampling_points(record, query, image, ax=ax)
    assert share_scale(figure) is figure
    limits = [artists(ax, "sampling point")[0].get_clim() for ax in axes]
    assert limits == [(0, pytest.approx(max(heaviest)))] * 2 and heaviest[0] != heaviest[1]
    assert len(figure.axes) == 3


def test_the_cross_marks_the_reference_in_front_of_the_points(record, image):
    ax = plot_sampling_points(record, 2, image, batch_index=1).axes[0]
    (cross,) = artists(ax, "reference point")
    expected = record.reference_points[1, 2, 0, :2].numpy() * [WIDTH, HEIGHT]
    np.testing.assert_allclose(np.ravel(cross.get_xydata()), expected, rtol=1e-6)
    assert cross.get_marker() == "+" and cross.get_zorder() > artists(ax, "sampling point")[0].get_zorder()


def test_the_image_fills_the_axes_in_its_own_pixels(record, image):
    ax = plot_sampling_points(record, 0, image).axes[0]
    (picture,) = artists(ax, "image")
    assert picture.get_extent() == [0, WIDTH, HEIGHT, 0]
    assert ax.get_xlim() == (0, WIDTH) and ax.get_ylim() == (HEIGHT, 0)
    np.testing.assert_allclose(picture.get_array(), displayable(image))


def test_levels_and_heads_select_points(record, image):
    (dots,) = artists(plot_sampling_points(record, 4, image, levels=[1], heads=[2, 0]).axes[0], "sampling point")
    chosen = record.sampling_locations[0, 4][[0, 2], 1].reshape(-1, 2).numpy() * [WIDTH, HEIGHT]
    drawn = np.asarray(dots.get_offsets())
    assert len(drawn) == 2 * POINTS
    np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], chosen[np.lexsort(chosen.T)], rtol=1e-5)


def test_an_unpadded_image_takes_the_padded_size(record, image):
    (dots,) = artists(plot_sampling_points(record, 1, image, padded_size=(80, 90)).axes[0], "sampling point")
    order = record.attention_weights[0, 1].reshape(-1).argsort().numpy()
    expected = record.sampling_locations[0, 1].reshape(-1, 2).numpy()[order] * [90, 80]
    np.testing.assert_allclose(dots.get_offsets(), expected, rtol=1e-5)


def test_boxes_and_captions_are_drawn(record, image):
    boxes = torch.tensor([[5.0, 6.0, 30.0, 20.0], [1.0, 2.0, 3.0, 4.0]])
    ax = plot_sampling_points(record, 0, image, boxes=boxes, captions=["circle 0.93"]).axes[0]
    assert [corners(patch) for patch in artists(ax, "box")] == boxes.tolist()
    assert [text.get_text() for text in ax.texts] == ["circle 0.93"]


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"query": 7}, "query: 7 is out of range, decoder.layers.1.attention was recorded with 7 queries"),
        ({"query": -1}, "query: -1 is out of range"),
        ({"batch_index": 2}, "batch_index: 2 is out of range.*2 images"),
        ({"levels": [0, 2]}, r"levels: 2 is out of range.*2 levels \(0 to 1\)"),
        ({"heads": [3]}, "heads: 3 is out of range.*3 heads"),
        ({"heads": []}, "heads: nothing is chosen; leave heads out to draw all 3 heads"),
    ],
)
def test_what_is_not_there_is_refused_in_one_sentence(record, image, wrong, sentence):
    arguments = {"query": 0, **wrong}
    with pytest.raises(ValueError, match=sentence):
        plot_sampling_points(record, image=image, **arguments)


def test_a_batch_instead_of_an_image_is_refused(record, image):
    with pytest.raises(ValueError, match=r"must be \(3, height, width\), got \(1, 3, 40, 60\)"):
        plot_sampling_points(record, 0, image[None])
    with pytest.raises(ValueError, match=r"must be \(height, width, 3\), got \(40, 60\)"):
        plot_sampling_points(record, 0, np.zeros((HEIGHT, WIDTH)))


def test_a_given_axes_is_drawn_into(record, image):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot_sampling_points(record, 0, image, ax=right, title="here") is figure
    assert not left.images and right.get_title() == "here"


def test_pair_rows_hold_encoder_left_and_decoder_right(forward_pass, image):
    boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0], [30.0, 20.0, 60.0, 40.0]])
    figure = plot_attention_pair(forward_pass, [6, 3], image, boxes=boxes, captions=["a 0.5", "b 0.6"], batch_index=1)
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert [ax.get_title().split(",")[0] for ax in panels] == ["encoder layer 2", "decoder layer 2"] * 2
    # The centres (10, 10) and (45, 30) of a 60 x 40 image lie in rows 1 and 3, columns 1 and 4 of the 4 x 6 level.
    for ax, record, query in [
        (panels[0], forward_pass.encoder[1], 1 * 6 + 1),
        (panels[1], forward_pass.decoder[1], 6),
        (panels[2], forward_pass.encoder[1], 3 * 6 + 4),
        (panels[3], forward_pass.decoder[1], 3),
    ]:
        order = record.attention_weights[1, query].reshape(-1).argsort().numpy()
        expected = record.sampling_locations[1, query].reshape(-1, 2).numpy()[order] * [WIDTH, HEIGHT]
        np.testing.assert_allclose(artists(ax, "sampling point")[0].get_offsets(), expected, rtol=1e-5)
    drawn = [[corners(box) for box in artists(ax, "box")] for ax in panels]
    assert drawn == [[], [boxes[0].tolist()], [], [boxes[1].tolist()]]


def test_the_decoder_panel_is_enlarged_around_the_box(forward_pass, image):
    box = torch.tensor([[30.0, 20.0, 36.0, 24.0]])
    figure = plot_attention_pair(forward_pass, [6], image, boxes=box)
    left, right = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    x, y, last_x, last_y = region_around(box, HEIGHT, WIDTH)
    assert left.get_xlim() == (0, WIDTH) and left.get_ylim() == (HEIGHT, 0)
    assert right.get_xlim() == (x, last_x) and right.get_ylim() == (last_y, y)


def test_pair_refuses_what_does_not_fit(forward_pass, image):
    with pytest.raises(ValueError, match="equally many and at least one, got 2, 1 and 2"):
        plot_attention_pair(forward_pass, [0, 1], image, boxes=torch.zeros(1, 4))
    with pytest.raises(ValueError, match="layer 5 does not exist, 2 encoder layers were recorded"):
        plot_attention_pair(forward_pass, [0], image, boxes=torch.zeros(1, 4), layer=5)
