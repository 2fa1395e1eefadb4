"""The pictures of the convergence study, on made-up runs."""

import numpy as np
import pytest

from defdetr_ref.course.figures.convergence import (
    by_epoch,
    epochs_to_reach,
    final_runs_of,
    plot_ap,
    plot_ap_by_size,
    plot_focus,
    plot_loss,
    plot_search,
)


def run(model, seed, aps, stage="final", lr=1e-3, loss=9.0):
    """A file's content with AP by epoch; in the record of epoch 0 there is none."""
    rows = [{"epoch": 0}] + [
        {"epoch": e, "AP": ap, "AP_small": None, "AP_medium": ap / 2, "AP_large": 2 * ap, "total": loss}
        for e, ap in enumerate(aps, start=1)
    ]
    for row in rows:
        row |= {"encoder_entropy": [0.5], "decoder_entropy": [0.9, 0.7 - 0.1 * seed],
                "encoder_spread": [0.4], "decoder_spread": [0.3, 0.2 + 0.1 * row["epoch"]]}  # fmt: skip
    return {"run": {"stage": stage, "model": model, "seed": seed, "lr": lr}, "epochs": rows}


RUNS = [
    run("dense", 1, [0.0, 0.02, 0.04]),
    run("dense", 0, [0.01, 0.02, 0.02]),
    run("deformable", 0, [0.1, 0.2, 0.3]),
    run("deformable", 1, [0.2, 0.3, 0.2]),
    run("deformable", 2, [0.3, 0.4, 0.4]),
    *(run("dense", 9, [0.0], "search", lr, loss) for lr, loss in ((2e-3, 7.0), (1e-3, 8.0), (4e-3, 9.0))),
    *(run("deformable", 9, [0.0], "search", lr, loss) for lr, loss in ((2e-3, 4.0), (1e-3, 3.0))),
]


def drawn(ax, gid):
    return [artist for artist in (*ax.lines, *ax.collections) if artist.get_gid() == gid]


def test_final_runs_come_by_seed():
    assert [one["run"]["seed"] for one in final_runs_of(RUNS, "dense")] == [0, 1]
    with pytest.raises(ValueError, match="no final run of the model 'sparse'"):
        final_runs_of(RUNS, "sparse")


def test_values_by_seed_and_epoch():
    found = by_epoch(RUNS, "dense", lambda row: row.get("AP"))
    np.testing.assert_array_equal(found, [[np.nan, 0.01, 0.02, 0.02], [np.nan, 0.0, 0.02, 0.04]])


def test_the_first_epoch_that_reaches_a_goal():
    assert epochs_to_reach([np.nan, 0.1, 0.3, 0.2], 0.2) == 2
    assert epochs_to_reach([np.nan, 0.1], 0.2) is None
    assert epochs_to_reach(np.array([np.nan, 9.0, 6.0, 5.0]), 6.0, falling=True) == 2


def test_ap_is_the_mean_with_the_seeds_as_a_band():
    (ax,) = plot_ap(RUNS).axes
    deformable, dense = drawn(ax, "curve")
    assert [line.get_label() for line in (deformable, dense)] == ["Deformable DETR", "DETR (dense)"]
    np.testing.assert_allclose(deformable.get_ydata(), [20, 30, 30])
    np.testing.assert_allclose(deformable.get_xdata(), [1, 2, 3])  # epoch 0 was not evaluated
    np.testing.assert_allclose(dense.get_ydata(), [0.5, 2, 3])
    band = drawn(ax, "band")[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (pytest.approx(10), pytest.approx(40))
    assert ax.get_ylim()[0] == 0


def test_loss_by_epoch():
    (ax,) = plot_loss(RUNS).axes
    deformable, dense = drawn(ax, "curve")
    assert list(dense.get_xdata()) == [1, 2, 3] and list(dense.get_ydata()) == [9, 9, 9]
    assert ax.get_ylim()[0] == 0 and len(drawn(ax, "band")) == 2


def test_sizes_share_one_scale():
    medium_and_large = {"AP_medium": "medium objects", "AP_large": "large objects"}
    medium, large = plot_ap(RUNS, medium_and_large).axes
    assert medium.get_ylim() == large.get_ylim() and large.get_ylim()[1] > 60
    np.testing.assert_allclose(drawn(medium, "curve")[0].get_ydata(), [10, 15, 15])
    titles = [ax.get_title() for ax in plot_ap_by_size(RUNS).axes]  # without a small object its panel stays empty
    assert titles == ["small objects, %", "medium objects, %", "large objects, %"]


def test_focus_is_the_mean_of_the_layers_from_epoch_zero():
    encoder, decoder = plot_focus(RUNS).axes
    np.testing.assert_allclose(drawn(encoder, "curve")[1].get_ydata(), [0.5] * 4)
    np.testing.assert_allclose(drawn(decoder, "curve")[1].get_ydata(), [(0.8 + 0.75) / 2] * 4)  # two seeds
    spread = plot_focus(RUNS, "spread").axes[1]
    np.testing.assert_allclose(drawn(spread, "curve")[0].get_ydata(), [0.25, 0.3, 0.35, 0.4])
    assert "spread" in spread.get_title() and "entropy" in decoder.get_title()


def test_the_search_marks_the_rate_with_the_lowest_loss():
    (ax,) = plot_search(RUNS).axes
    deformable, dense = drawn(ax, "curve")
    assert list(dense.get_xdata()) == [1e-3, 2e-3, 4e-3] and list(dense.get_ydata()) == [8, 7, 9]
    assert list(deformable.get_ydata()) == [3, 4]
    chosen = drawn(ax, "chosen")
    assert [line.get_xdata()[0] for line in chosen] == [1e-3, 2e-3]
