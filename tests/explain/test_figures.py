"""Figures are checked by what was drawn: places, colours, order and numbers of the artists, never by pixels."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from defdetr_ref.explain import (
    AttentionRecord,
    ForwardPass,
    figure_facts,
    plot_attention_pair,
    plot_curves,
    plot_predictions,
    plot_refinement,
    plot_sampling_points,
)
from defdetr_ref.explain.style import INK, category_colour, displayable, region_around, text_colour

BATCH, QUERIES, HEADS, LEVELS, POINTS = 2, 7, 3, 2, 5
SHAPES = ((4, 6), (2, 3))
TOKENS = sum(height * width for height, width in SHAPES)
HEIGHT, WIDTH = 40, 60


def a_record(part: str, layer: int, queries: int, reference_size: int, seed: int = 0) -> AttentionRecord:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(BATCH, queries, HEADS, LEVELS * POINTS, generator=generator)
    return AttentionRecord(
        name=f"{part}.layers.{layer}.attention",
        part=part,
        layer=layer,
        reference_points=torch.rand(BATCH, queries, 1, reference_size, generator=generator).repeat(1, 1, LEVELS, 1),
        sampling_locations=1.2 * torch.rand(BATCH, queries, HEADS, LEVELS, POINTS, 2, generator=generator) - 0.1,
        attention_weights=logits.softmax(-1).unflatten(-1, (LEVELS, POINTS)),
        spatial_shapes=SHAPES,
    )


@pytest.fixture
def record() -> AttentionRecord:
    return a_record("decoder", 1, QUERIES, 4)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def forward_pass(record) -> ForwardPass:
    generator = torch.Generator().manual_seed(5)
    boxes = [0.2 + 0.3 * torch.rand(BATCH, QUERIES, 4, generator=generator) for _ in range(2)]
    encoder = [a_record("encoder", layer, TOKENS, 2, seed=layer + 1) for layer in range(2)]
    records = [*encoder, a_record("decoder", 0, QUERIES, 4, seed=4), record]
    return ForwardPass(records, {"pred_boxes": boxes[1], "aux_outputs": [{"pred_boxes": boxes[0]}]})


def artists(ax, gid: str) -> list:
    return [artist for artist in (*ax.collections, *ax.patches, *ax.lines, *ax.images) if artist.get_gid() == gid]


def corners(patch) -> list[float]:
    """xyxy of a drawn box."""
    (left, top), width, height = patch.get_xy(), patch.get_width(), patch.get_height()
    return [left, top, left + width, top + height]


# Sampling points


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


# Pairs


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


# Predictions


@pytest.fixture
def scene(image) -> dict:
    """Two images, the first shown at twice the size of its file."""
    return {
        "images": [image, Image.new("RGB", (50, 30), "white")],
        "targets": [
            {
                "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.4]]),
                "labels": torch.tensor([3]),
                "size": (HEIGHT // 2, WIDTH // 2),
            },
            {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "size": (30, 50)},
        ],
        "detections": [
            {
                "boxes": torch.tensor([[1.0, 2.0, 11.0, 7.0], [3.0, 4.0, 5.0, 6.0], [0.0, 0.0, 9.0, 9.0]]),
                "labels": torch.tensor([3, 1, 2]),
                "scores": torch.tensor([0.9, 0.6, 0.3]),
            },
            {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "scores": torch.zeros(0)},
        ],
        "categories": {1: "circle", 2: "square", 3: "triangle"},
    }


def test_truth_and_predictions_stand_side_by_side_in_pixels_of_the_image(scene):
    figure = plot_predictions(**scene)
    truth, predicted, empty_truth, empty_predicted = figure.axes
    np.testing.assert_allclose([corners(box) for box in artists(truth, "box")], [[24, 12, 36, 28]], rtol=1e-5)
    # Twice the coordinates, the best score drawn last, the third below the threshold.
    np.testing.assert_allclose([corners(box) for box in artists(predicted, "box")], [[6, 8, 10, 12], [2, 4, 22, 14]])
    assert [text.get_text() for text in predicted.texts] == ["circle 0.60", "triangle 0.90"]
    assert [text.get_text() for text in truth.texts] == ["triangle"]
    assert artists(empty_truth, "box") == artists(empty_predicted, "box") == []


def test_a_category_has_one_colour_everywhere(scene):
    truth, predicted, *_ = plot_predictions(**scene).axes
    assert to_hex(artists(truth, "box")[0].get_edgecolor()).upper() == category_colour(3)
    assert to_hex(artists(predicted, "box")[1].get_edgecolor()).upper() == category_colour(3)
    assert len({category_colour(label) for label in range(1, 8)}) == 7


def test_the_threshold_decides_what_is_drawn(scene):
    predicted = plot_predictions(**scene, score_threshold=0.2).axes[1]
    assert len(artists(predicted, "box")) == 3


def test_an_odd_number_of_pairs_leaves_no_empty_axes(scene):
    one = {name: value if name == "categories" else value[:1] for name, value in scene.items()}
    assert len(figure_facts(plot_predictions(**one))) == 2
    three = {name: value if name == "categories" else [*value, value[0]] for name, value in scene.items()}
    assert len(figure_facts(plot_predictions(**three))) == 6


def test_lists_of_different_length_are_refused(scene):
    with pytest.raises(ValueError, match="at least one, got 2, 2 and 1"):
        plot_predictions(**{**scene, "detections": scene["detections"][:1]})


# Curves


def test_curves_hold_the_rows_and_skip_epochs_without_evaluation():
    rows = [
        {"epoch": 1, "total": 30.0, "loss_ce": 2.0, "loss_bbox": 1.5, "loss_giou": 1.2},
        {"epoch": 2, "total": 20.0, "loss_ce": 1.0, "loss_bbox": 1.0, "loss_giou": 1.0, "AP": 0.25, "AP_small": None},
        {"epoch": 4, "total": 10.0, "loss_ce": 0.5, "loss_bbox": 0.5, "loss_giou": 0.8, "AP": 0.5, "AP_small": 0.125},
    ]
    loss, precision = plot_curves(rows).axes
    assert loss.get_yscale() == "log"
    names = [line.get_label().split("(")[-1] for line in loss.lines]
    assert names == ["total)", "loss_ce)", "loss_bbox)", "loss_giou)"]
    assert loss.lines[0].get_xydata().tolist() == [[1, 30], [2, 20], [4, 10]]
    assert {line.get_label(): line.get_xydata().tolist() for line in precision.lines} == {
        "AP": [[2, 25], [4, 50]],
        "AP small": [[4, 12.5]],
    }
    assert precision.lines[1].get_marker() == "o"  # a single point would be invisible as a line


def test_curves_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        plot_curves([])


# Refinement


def test_refinement_goes_from_the_reference_to_the_prediction(forward_pass, image):
    truth = torch.tensor([[6.0, 8.0, 30.0, 24.0], [0.0, 0.0, 10.0, 10.0]])
    figure = plot_refinement(forward_pass, [4, 2], image, truth=truth, batch_index=1)
    titles = [ax.get_title() for ax in figure.axes]
    after = ["after layer 1", "after layer 2"]
    assert titles == ["query 4: start", *after, "query 2: start", *after]
    steps = [
        forward_pass.decoder[0].reference_points[1, [4, 2], 0],
        forward_pass.boxes_by_layer()[0][1, [4, 2]],
        forward_pass.outputs["pred_boxes"][1, [4, 2]],
    ]
    for number, row in enumerate((figure.axes[:3], figure.axes[3:])):
        for ax, boxes in zip(row, steps, strict=True):
            centre, size = boxes[number, :2], boxes[number, 2:]
            expected = torch.cat([centre - size / 2, centre + size / 2]) * torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
            (box,) = artists(ax, "box")
            np.testing.assert_allclose(corners(box), expected.numpy(), rtol=1e-4)
            assert to_hex(box.get_edgecolor()).upper() == category_colour(number)
            assert [corners(box) for box in artists(ax, "truth")] == [truth[number].tolist()]


def test_refinement_shows_all_of_a_querys_boxes(forward_pass, image):
    forward_pass.outputs["pred_boxes"][0, 3] = torch.tensor([0.8, 0.5, 0.1, 0.1])
    forward_pass.outputs["aux_outputs"][0]["pred_boxes"][0, 3] = torch.tensor([0.5, 0.5, 0.1, 0.1])
    forward_pass.decoder[0].reference_points[0, 3] = torch.tensor([0.6, 0.5, 0.1, 0.1])
    for ax in plot_refinement(forward_pass, [3], image).axes:
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert left <= 0.45 * WIDTH and right >= 0.85 * WIDTH  # from the leftmost to the rightmost box
        assert top <= 0.45 * HEIGHT and bottom >= 0.55 * HEIGHT
        assert right - left < 0.9 * WIDTH  # and not the whole image


def test_refinement_captions_are_the_iou_with_the_truth(forward_pass, image):
    forward_pass.outputs["pred_boxes"][0, 1] = torch.tensor([0.25, 0.5, 0.5, 0.5])  # 0, 10, 30, 30
    figure = plot_refinement(forward_pass, [1], image, truth=torch.tensor([[0.0, 10.0, 15.0, 30.0]]))
    assert [text.get_text() for text in figure.axes[-1].texts] == ["IoU 0.50"]


def test_refinement_of_learned_points_starts_with_a_cross(forward_pass, image):
    forward_pass.records[2] = a_record("decoder", 0, QUERIES, 2)
    starts = plot_refinement(forward_pass, [1, 3, 5], image, padded_size=(80, 90)).axes[::3]
    expected = forward_pass.records[2].reference_points[0, [1, 3, 5], 0].numpy() * [90, 80]
    crosses = [np.ravel(cross.get_xydata()) for ax in starts for cross in artists(ax, "reference point")]
    np.testing.assert_allclose(crosses, expected, rtol=1e-6)
    assert [artists(ax, "box") for ax in starts] == [[], [], []]


def test_a_region_keeps_proportions_and_stays_in_the_image():
    inside = region_around(torch.tensor([[20.0, 10.0, 32.0, 22.0]]), HEIGHT, WIDTH)
    share = 12 / HEIGHT * 1.6  # the height is the tighter side
    assert inside == pytest.approx([26 - share * 30, 16 - share * 20, 26 + share * 30, 16 + share * 20])
    assert region_around(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), HEIGHT, WIDTH) == [0, 0, 15, 10]  # a quarter at least
    assert region_around(torch.tensor([[59.0, 39.0, 70.0, 50.0]]), HEIGHT, WIDTH) == [45, 30, 60, 40]
    assert region_around(torch.tensor([[-5.0, -5.0, 70.0, 50.0]]), HEIGHT, WIDTH) == [0, 0, WIDTH, HEIGHT]


# Facts and style


def test_facts_say_what_is_drawn(record, image):
    box = torch.tensor([[5.0, 6.0, 30.0, 20.0]])
    record.sampling_locations[0, 0] = 0.5
    record.sampling_locations[0, 0, 0, 0, :2] = torch.tensor([1.25, -0.5])  # two points outside the image
    record.attention_weights[0, 0] = 0.1
    record.attention_weights[0, 0, 1, 1, 3] = 0.375
    assert figure_facts(plot_sampling_points(record, 0, image, boxes=box)) == [
        "decoder layer 2, query 0: 30 sampling points (2 outside the picture), weights 0.100 to 0.375, "
        "1 reference point, 1 box"
    ]


def test_facts_of_curves_count_them():
    assert figure_facts(plot_curves([{"epoch": 1, "total": 3.0, "loss_ce": 1.0}]))[0].endswith(": 2 curves")


def test_a_tensor_is_shown_without_its_normalisation():
    grey = torch.tensor([0.485, 0.456, 0.406]) + torch.tensor([0.229, 0.224, 0.225]) * torch.tensor([1.0, -1.0, 0.0])
    image = torch.tensor([1.0, -1.0, 0.0])[:, None, None].expand(3, 2, 5)
    assert displayable(image).shape == (2, 5, 3)
    np.testing.assert_allclose(displayable(image)[1, 4], grey, rtol=1e-6)


def test_pictures_are_shown_as_they_are():
    array = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    assert np.array_equal(displayable(array), array)
    assert np.array_equal(displayable(Image.fromarray(array)), array)


def test_text_is_readable_on_its_plate():
    assert text_colour("#F0E442") == INK and text_colour("#0072B2") == "white"


def test_a_notebook_shows_a_figure_by_itself(record, image):
    png = plot_sampling_points(record, 0, image)._repr_png_()
    assert Image.open(io.BytesIO(png)).format == "PNG"


def test_pyplot_keeps_no_figure(record, image):
    before = plt.get_fignums()
    plot_sampling_points(record, 0, image)
    assert plt.get_fignums() == before
