"""Factors, intervals and tables, on curves whose answers are known."""

import numpy as np
import pytest

from defdetr_ref.studies.ablation import CLAIMS, Claim, difference, variants, verdict
from defdetr_ref.studies.ablation import table as ablation_table
from defdetr_ref.studies.analysis import convergence_factor, curve, factor_table, first_reaching, size_table
from defdetr_ref.studies.variants import VARIANTS


def run(model, seed, *aps, seconds=2.0, small=None, stage="final"):
    """A run whose epochs are evaluated where `aps` is not None."""
    rows = [{"epoch": 0}]
    for epoch, ap in enumerate(aps, start=1):
        values = {} if ap is None else {"AP": ap, "AP_small": ap / 2 if small is None else small,
                                        "AP_medium": ap, "AP_large": ap}  # fmt: skip
        rows.append({"epoch": epoch, "cpu_seconds": seconds, **values})
    return {"run": {"model": model, "seed": seed, "stage": stage, "epochs": len(aps)}, "epochs": rows}


def test_a_curve_is_read_where_it_was_evaluated():
    places, values = curve(run("detr-16", 1, None, 0.1, None, 0.3))
    assert places.tolist() == [2, 4] and values.tolist() == [0.1, 0.3]
    places, _ = curve(run("detr-16", 1, None, 0.1, None, 0.3, seconds=1.5), axis="cpu_seconds")
    assert places.tolist() == [3.0, 6.0]


def test_the_first_place_that_reaches_the_goal():
    places, values = np.array([1, 2, 3]), np.array([0.1, 0.4, 0.3])
    assert first_reaching(places, values, 0.3) == 2 and first_reaching(places, values, 0.5) == np.inf


def test_the_factor_is_the_slow_best_over_the_fast_first():
    runs = [
        run("detr-16", 1, None, 0.1, None, 0.4, None, 0.3),  # best 0.4 after 4
        run("deformable", 1, 0.2, 0.45),  # there after 2
        run("detr-16", 2, None, 0.1, None, 0.2, None, 0.6),  # best 0.6 after 6
        run("deformable", 2, 0.7, 0.8),  # there after 1
        run("deformable", 3, 0.9, 0.9),  # no partner
        run("detr-16", 4, 0.9, stage="search"),
    ]
    factor = convergence_factor(runs)
    assert factor.pairs == {1: 2.0, 2: 6.0} and factor.median == 4.0
    # All four pairings: (slow 1, fast 1) 2, (1, 2) 4, (2, 1) never: 0, (2, 2) 6.
    assert 0.0 <= factor.low <= 2.0 and 4.0 <= factor.high <= 6.0


def test_time_counts_what_a_run_itself_took():
    runs = [run("detr-16", 1, 0.1, 0.4, seconds=3.0), run("deformable", 1, 0.5, seconds=2.0)]
    factor = convergence_factor(runs, axis="cpu_seconds")
    assert factor.pairs == {1: 3.0} and (factor.low, factor.high) == (3.0, 3.0)


def test_a_fast_model_that_never_gets_there_has_no_factor_above_zero():
    runs = [run("detr-16", 1, 0.1, 0.4), run("deformable", 1, 0.3, 0.3)]
    assert convergence_factor(runs).pairs == {1: 0.0}


def test_no_pair_is_told():
    with pytest.raises(ValueError, match="no seed was run with both DETR, stride 16 and Deformable DETR"):
        convergence_factor([run("detr-16", 1, 0.1), run("deformable", 2, 0.1)])


def test_the_tables_show_each_pair_and_each_size():
    runs = [run("detr-16", 1, 0.1, 0.4), run("deformable", 1, 0.5), run("deformable", 2, 0.7, small=0.1)]
    lines = factor_table(runs).splitlines()
    assert len(lines) == 3 and "epochs: 2.0 times (95 %: 2.0 to 2.0; by seed 2.0)" in lines[0]
    runs.append(run("deformable-16", 1, 0.05))
    assert "epochs: never reached (95 %: never to never; by seed never)" in factor_table(runs).splitlines()[3]
    sizes = size_table(runs[:-1]).splitlines()
    assert sizes[1].split() == "Deformable DETR 1 2 60.0 ± 14.1 17.5 ± 10.6 60.0 ± 14.1 60.0 ± 14.1".split()
    assert sizes[2].split() == "DETR, stride 16 2 1 40.0 20.0 40.0 40.0".split()


# ------------------------------------------------------------------------------------------ ablation

GAIN = Claim("a change", "one-point", "deformable", "a table", +1)


def test_differences_are_by_seed():
    runs = [run("one-point", 1, 0.5), run("deformable", 1, 0.6), run("one-point", 2, 0.5), run("deformable", 2, 0.45),
            run("deformable", 3, 0.9)]  # fmt: skip
    np.testing.assert_allclose(difference(runs, GAIN), [10.0, -5.0])
    np.testing.assert_allclose(difference(runs, GAIN, "AP_small"), [5.0, -2.5])


@pytest.mark.parametrize(
    ("found", "direction", "wanted"),
    [
        ([3.0, 2.0, 4.0], +1, "agrees"),
        ([-3.0, -2.0, -4.0], +1, "contradicts"),
        ([3.0, -1.0, 4.0], +1, "no difference"),
        ([0.1, 5.0, 0.2], +1, "no difference"),  # one sign, but the spread is larger than the mean
        ([0.1, -0.2, 0.0], 0, "agrees"),
        ([3.0, 2.0, 4.0], 0, "contradicts"),
        ([3.0, 2.0, 4.0], None, "–"),
        ([3.0], +1, "–"),
    ],
)
def test_verdicts(found, direction, wanted):
    claim = Claim("a change", "one-point", "deformable", "a table", direction)
    assert verdict(claim, np.array(found)) == wanted


def test_all_that_the_claims_compare_is_run_once():
    assert set(variants()) <= VARIANTS.keys() and len(set(variants())) == len(variants())
    assert {name for claim in CLAIMS for name in (claim.before, claim.after)} == set(variants())


def test_the_table_leaves_out_what_was_not_run():
    runs = [run(name, seed, ap) for name, ap in (("one-point", 0.5), ("deformable", 0.6)) for seed in (1, 2)]
    lines = ablation_table(runs).splitlines()
    assert len(lines) == 2 and "K = 4 instead of 1" in lines[1] and "+10.0 ± 0.0" in lines[1] and "+5.0" in lines[1]
