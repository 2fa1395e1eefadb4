"""Predictions, curves and refinement, checked by what was drawn."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from defdetr_ref.explain import figure_facts, plot_curves, plot_predictions, plot_refinement, plot_sampling_points
from defdetr_ref.explain.style import category_colour
from tests.explain.records import HEIGHT, QUERIES, WIDTH, a_record, artists, corners


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
