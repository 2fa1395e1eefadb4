"""What is drawn and printed of a run is what its file holds, and no bug is named."""

import copy

import pytest
import torch

from defdetr_ref.debugging.figures import LEAST_NORM, aps_of, plot_run, symptom_table

BOXES = torch.tensor([[1.0, 2.0, 9.0, 12.0], [10.0, 20.0, 40.0, 35.0]])
NAMES = ("box head 1", "queries")


def a_run(seed):
    """A file's content, as far as figures read it; every number depends on the seed."""
    terms = ("total", "loss_ce", "loss_bbox", "loss_giou")
    return {
        "steps": {
            "step": [1, 10, 20],
            "loss": {term: [seed + place, seed + 0.5, seed + 0.25] for place, term in enumerate(terms)},
            "gradients": {name: [seed * (place + 1.0), 2.0, 3.0] for place, name in enumerate(NAMES)},
        },
        "epochs": [
            {"epoch": 0},
            *(
                {
                    "epoch": epoch, "AP": 0.1 * epoch + 0.01 * seed, "AP_small": 0.11, "AP_medium": 0.12,
                    "AP_large": 0.13 + 0.01 * seed, "outside": {"encoder": 0.25, "decoder": 0.07},
                    "levels": [0.5, 0.3, 0.2],
                }
                for epoch in (1, 2)
            ),
        ],
        "judged": {
            "alone": 0.15, "ignoring classes": 0.3, "layers": [0.02, 0.2], "loss together": 4.0, "loss alone": 4.5,
        },
        "picture": {
            "object": 1,
            "query": {
                "reference": [0.25, 0.5, 0.1, 0.2], "box": [11.0, 18.0, 38.0, 33.0],
                "locations": [[[[0.1, 0.2], [0.3, 1.2]]]], "weights": [[[0.75, 0.25]]],
            }
        },
    }  # fmt: skip


@pytest.fixture
def runs():
    return [a_run(1), a_run(2), a_run(4)]


def drawn(ax, gid):
    return [line.get_xydata().tolist() for line in ax.lines if line.get_gid() == gid]


def panel_of(figure):
    """The panels by what they show: `subplot_mosaic` names its axes."""
    return {ax.get_label(): ax for ax in figure.axes}


def test_the_case_is_drawn_over_the_healthy_runs(runs):
    figure = plot_run(a_run(3), runs, torch.zeros(3, 40, 80), BOXES)
    axes = panel_of(figure)
    assert drawn(axes["loss_ce"], "case") == [[[1, 4], [10, 3.5], [20, 3.25]]]  # loss_ce
    assert [line[0] for line in drawn(axes["loss_ce"], "healthy")] == [[1, 2], [1, 3], [1, 5]]
    (curve,) = drawn(axes["ap"], "case")
    assert curve == [[1, pytest.approx(13)], [2, pytest.approx(23)]]


def test_ap_is_told_in_several_ways(runs):
    assert list(aps_of(runs[0])) == ["all", "small", "medium", "large", "any class", "alone", "layer 1", "layer 2"]
    ax = panel_of(plot_run(runs[1], runs[:1], torch.zeros(3, 40, 80), BOXES))["aps"]
    (dots,) = drawn(ax, "case")
    assert [x for x, _ in dots][::-1] == pytest.approx(list(aps_of(runs[1]).values()))
    assert [label.get_text() for label in ax.get_yticklabels()][::-1] == list(aps_of(runs[1]))


def test_a_gradient_of_zero_is_seen_at_the_edge(runs):
    broken = copy.deepcopy(runs[0])
    broken["steps"]["gradients"]["queries"][0] = 0.0
    ax = panel_of(plot_run(broken, runs, torch.zeros(3, 40, 80), BOXES))["gradients"]
    (dots,) = drawn(ax, "case")
    assert sorted(x for x, _ in dots) == [LEAST_NORM, 1.0] and ax.get_xscale() == "log"


def test_points_are_drawn_in_pixels_by_weight(runs):
    ax = panel_of(plot_run(runs[0], runs, torch.zeros(3, 40, 80), BOXES))["look"]
    (points,) = (one for one in ax.collections if one.get_gid() == "points")
    torch.testing.assert_close(
        torch.tensor(points.get_offsets().tolist()), torch.tensor([[8.0, 8.0], [24.0, 48.0]]), rtol=0, atol=1e-4
    )
    large, small = points.get_sizes()
    assert large == pytest.approx(3 * small)
    truth, predicted = ax.patches
    assert (*truth.get_xy(), truth.get_width(), truth.get_height()) == (10, 20, 30, 15)
    assert (*predicted.get_xy(), predicted.get_width(), predicted.get_height()) == (11, 18, 27, 15)
    assert ax.get_xlabel().endswith("of all weight, 7 % is outside")


def test_the_table_has_the_healthy_range_and_each_case(runs):
    table = symptom_table({"A": a_run(3), "C": a_run(1)}, runs).splitlines()
    assert table[0].split() == ["healthy", "case", "A", "case", "C"]
    rows = {line[:34].strip(): line[34:].split() for line in table[1:]}
    assert rows["loss, all terms, at the end"] == ["1.2", "to", "4.2", "3.2", "1.2"]
    assert rows["AP, large"] == ["14", "to", "17", "16", "14"]
    assert rows["gradient, step 1, queries"] == ["1", "3", "1"]
    assert rows["attention outside, decoder, %"] == ["7", "to", "7", "7", "7"]


def test_the_table_of_no_case_is_the_healthy_range(runs):
    assert symptom_table({}, runs).splitlines()[0].split() == ["healthy"]
