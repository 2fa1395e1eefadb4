"""The study of cost: what is measured against what, and the file."""

import json

import pytest
import torch

from defdetr_ref.cli import main
from defdetr_ref.studies import timing
from defdetr_ref.studies.cost import Settings, cache_hit_rates, counted, run_study, runnable, table
from defdetr_ref.studies.counting import Workload
from defdetr_ref.studies.timing import interleaved, machine_limits, median, ratio, threads

NAMES = {"operator", "module", "dense", "convolution like the operator", "convolution like the module"}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    out = tmp_path_factory.mktemp("cost") / "deep" / "cost.json"
    settings = Settings(
        sides=(64, 96), dense_side=64, pattern_sides=(64,), row_megabytes=(0.5,), cache_side=64, rounds=2
    )
    found = run_study(out, settings)
    assert json.loads(out.read_text(encoding="utf-8")) == found
    return found


def test_the_file_holds_counts_times_and_where_they_come_from(content):
    assert {
        "settings",
        "roofline",
        "sizes",
        "patterns",
        "rows",
        "lines",
        "cache",
        "machine",
        "versions",
    } <= content.keys()
    assert content["machine"]["torch_threads"] == content["settings"]["num_threads"] == 1
    for row in content["sizes"]:
        assert set(row["costs"]) == NAMES and row["times_as_long"].keys() == {"operator", "module"}
        for name in ("operator", "module"):
            assert row["costs"][f"convolution like the {name}"]["flops"] == pytest.approx(
                row["costs"][name]["flops"], rel=0.03
            )
    assert set(content["sizes"][0]["seconds"]) == NAMES
    assert set(content["sizes"][1]["seconds"]) == NAMES - {"dense"}  # beyond dense_side
    assert content["rows"][0]["megabytes"] == 0.5 and min(content["rows"][0].values()) > 0
    assert content["patterns"][0]["times_as_long"]["own"] == 1


def test_the_table_has_a_line_for_each_size(content):
    lines = table(content).splitlines()
    assert len(lines) == 3 and lines[1].split()[:2] == ["64", "85"] and lines[2].split()[4] == "–"


def test_what_is_timed_is_what_is_counted():
    work = Workload(64)
    assert set(counted(work)) == set(runnable(work)) == NAMES
    outputs = {name: case() for name, case in runnable(work).items()}
    assert outputs["operator"].shape == outputs["module"].shape == (1, work.tokens, 256)
    assert outputs["dense"].shape == (1, 8, work.tokens, 32)
    for name in ("operator", "module"):
        maps = outputs[f"convolution like the {name}"]
        assert [tuple(one.shape[2:]) for one in maps] == work.spatial_shapes


def test_windows_stay_in_the_cache_and_random_reads_do_not():
    found = cache_hit_rates(Workload(128), cache_bytes=64 * 1024)
    assert found["convolution"] > 0.85 and 0.9 > found["own, in tiles"] > 0.7
    assert found["own, in tiles"] > found["own"] + 0.3 and found["own"] > found["shuffled"] + 0.05
    everything = cache_hit_rates(Workload(64), cache_bytes=10**9)
    assert min(everything.values()) > 0.85  # only first reads miss


# ------------------------------------------------------------------------------------------ timing


class Clock:
    """In the place of the module `time`; it only goes on when a case says so."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


def test_cases_take_turns_and_warm_up_does_not_count(monkeypatch):
    clock, order = Clock(), []
    monkeypatch.setattr(timing, "time", clock)

    def case(name: str, seconds: float) -> None:
        order.append(name)
        clock.now += seconds * len(order)  # each run takes longer than the one before it

    rounds = interleaved({"a": lambda: case("a", 1.0), "b": lambda: case("b", 0.5)}, rounds=3, warm_up=1)
    assert order == ["a", "b"] * 4
    assert rounds == {"a": [3.0, 5.0, 7.0], "b": [2.0, 3.0, 4.0]}  # the first run of each has warmed up


def test_ratios_are_taken_within_a_round():
    rounds = {"a": [2.0, 30.0, 4.0], "b": [1.0, 10.0, 1.0]}  # the machine was busy in the second round
    assert ratio(rounds, "a", "b") == 3.0 and median(rounds["a"]) == 4.0


def test_limits_are_the_best_round(monkeypatch):
    monkeypatch.setattr(timing, "interleaved", lambda cases, rounds: {"matmul": [2.0, 1.0], "copy": [4.0, 0.5]})
    found = machine_limits(rounds=2, copied_bytes=1000)
    assert found == {"flops_per_second": float(f"{2 * 1024**3:.3g}"), "bytes_per_second": 4000.0}


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_times_are_not_measured_side_by_side(capsys):
    assert main(["study", "cost", "--jobs", "2"]) == 2
    assert "does one thing at a time" in capsys.readouterr().err
