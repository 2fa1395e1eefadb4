"""The pictures of the convergence study, on made-up runs."""

import numpy as np
import pytest

from defdetr_ref.course.figures.convergence import (
    by_epoch,
    final_runs_of,
    models_of,
    plot_ablation,
    plot_ap,
    plot_ap_by_size,
    plot_finer_maps,
    plot_focus,
    plot_loss,
    plot_search,
)
from defdetr_ref.studies.ablation import Claim


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
    run("detr-16", 1, [0.0, 0.02, 0.04]),
    run("detr-16", 0, [0.01, 0.02, 0.02]),
    run("deformable", 0, [0.1, 0.2, 0.3]),
    run("deformable", 1, [0.2, 0.3, 0.2]),
    run("deformable", 2, [0.3, 0.4, 0.4]),
    *(run("detr-16", 9, [ap], "search", lr) for lr, ap in ((2e-3, 0.2), (2e-3, 0.05), (1e-3, 0.1))),
    *(run("deformable", 9, [ap], "search", lr) for lr, ap in ((1e-3, 0.1), (2e-3, 0.3))),
]


def drawn(ax, gid):
    return [artist for artist in (*ax.lines, *ax.collections) if artist.get_gid() == gid]


def test_final_runs_come_by_seed():
    assert [one["run"]["seed"] for one in final_runs_of(RUNS, "detr-16")] == [0, 1]
    with pytest.raises(ValueError, match="no final run of the model 'detr-8'"):
        final_runs_of(RUNS, "detr-8")


def test_values_by_seed_and_epoch():
    found = by_epoch(RUNS, "detr-16", lambda row: row.get("AP"))
    np.testing.assert_array_equal(found, [[np.nan, 0.01, 0.02, 0.02], [np.nan, 0.0, 0.02, 0.04]])


def test_ap_is_the_mean_with_the_seeds_as_a_band():
    (ax,) = plot_ap(RUNS).axes
    deformable, dense = drawn(ax, "curve")
    assert [line.get_label() for line in (deformable, dense)] == ["Deformable DETR", "DETR, stride 16"]
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


def test_one_legend_for_all_panels():
    for figure in (plot_ap_by_size(RUNS), plot_focus(RUNS)):
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["Deformable DETR", "DETR, stride 16"]
        assert all(ax.get_legend() is None for ax in figure.axes)


def test_models_that_were_not_run_are_left_out():
    assert models_of(RUNS) == ["deformable", "detr-16"]


def test_epochs_that_were_not_evaluated_are_skipped():
    rows = run("detr-16", 1, [0.1, 0.2, 0.3])
    rows["epochs"][2]["AP"] = None
    (ax,) = plot_ap([rows]).axes
    assert drawn(ax, "curve")[0].get_xdata().tolist() == [1, 3]


def test_the_search_shows_every_seed_and_rings_the_chosen_rate():
    deformable, dense = plot_search(RUNS).axes
    assert dense.get_title() == "DETR, stride 16\nAP after the search, %"
    (seeds,) = drawn(dense, "seeds")
    assert sorted(zip(seeds.get_xdata(), seeds.get_ydata(), strict=True)) == [(1e-3, 10), (2e-3, 5), (2e-3, 20)]
    (ring,) = drawn(dense, "chosen")
    assert set(ring.get_xdata()) == {1e-3}  # the worse seed counts
    (ring,) = drawn(deformable, "chosen")
    assert list(ring.get_xdata()) == [2e-3]


def test_an_ablation_has_a_dot_for_each_seed_and_a_bar_at_their_mean():
    claims = [Claim("more points", "one-point", "deformable", "", 1), Claim("an FPN", "deformable", "fpn", "", 0)]
    runs = [run("one-point", 0, [0.05]), run("one-point", 1, [0.3]), *RUNS]
    (ax,) = plot_ablation(runs, claims).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["more points"]  # no run with an FPN
    (seeds,), (mean,) = drawn(ax, "seeds"), drawn(ax, "mean")
    np.testing.assert_allclose(seeds.get_xdata(), [25, -10])
    np.testing.assert_allclose(mean.get_xdata(), [7.5, 7.5])


def test_finer_maps_end_where_memory_ends():
    row = {"case": "dense", "side": 6, "tokens": 36}
    rows = [{**row, "seconds": 0.002, "peak_mib": 5.0}, {**row, "tokens": 144, "out_of_memory": True}]
    time, memory = plot_finer_maps({"rows": rows}).axes
    assert drawn(time, "curve")[0].get_xdata() == [36] and drawn(time, "curve")[0].get_ydata() == [2.0]
    assert drawn(memory, "curve")[0].get_ydata() == [5.0]
    assert time.get_xscale() == time.get_yscale() == "log"
