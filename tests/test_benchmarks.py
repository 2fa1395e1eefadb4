"""The benchmarks run and name what they timed. No time decides whether a test passes."""

import inspect
import json

import pytest
import torch

from benchmarks import __main__ as benchmarks
from benchmarks import implementations
from benchmarks.implementations import MAKERS, forget_compilations
from benchmarks.operator import bench_operator
from benchmarks.workloads import tiny

TINY = "tiny, Q = 16"
DIRECTIONS = ("forward", "forward + backward")


@pytest.fixture
def quick(monkeypatch):
    """Without the compiler of PyTorch, which takes long."""
    monkeypatch.delitem(MAKERS["cpu"], "torch.compile")


def test_the_command_times_every_implementation(quick, tmp_path, capsys):
    out = tmp_path / "here.json"
    benchmarks.main(
        [*"--device cpu --rounds 2 --no-detector --no-hugging-face".split(), "--workloads", TINY, "--out", str(out)]
    )
    results = json.loads(out.read_text(encoding="utf-8"))
    assert results["operator"]["not_run"] == {}
    (row,) = results["operator"]["rows"]
    assert row["workload"] == TINY
    for direction in DIRECTIONS:
        assert set(row[direction]) == set(MAKERS["cpu"])
    assert set(results["operator"]["rates"]["gigabytes_per_second_random_rows_one_core"]) >= {"512 KB", "200 MB"}
    assert out.with_suffix(".png").stat().st_size > 0
    assert TINY in capsys.readouterr().out


def test_what_was_measured_is_kept_after_each_row(quick):
    seen = []
    found = bench_operator("cpu", 1, 0, [TINY], lambda results: seen.append(len(results["rows"])))
    assert seen == [1] and len(found["rows"]) == 1


def test_an_eager_call_is_not_timed_as_a_compiled_one(monkeypatch):
    """PyTorch's compiler gives up after some compilations of a function, and would run the next one eagerly."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **how: compiled(function, backend="eager", **how))
    plain = inspect.unwrap(implementations.ms_deform_attn_torch)  # the compiler cannot look through the shape checks
    monkeypatch.setattr(implementations, "ms_deform_attn_torch", plain)
    # not by monkeypatch, which ends by deleting what is not in an object's own dict: there would be no limit any more
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=False):
        forget_compilations()
        run = implementations.Implementation("torch.compile", implementations._compiled_by_torch()).run
        wide, narrow = tiny("wide", 0), tiny("narrow", 0)
        object.__setattr__(narrow, "sampling_locations", narrow.sampling_locations[:, :5])
        object.__setattr__(narrow, "attention_weights", narrow.attention_weights[:, :5])
        run(wide)
        with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
            run(narrow)
        forget_compilations()
        assert run(narrow).shape[1] == 5
        forget_compilations()
