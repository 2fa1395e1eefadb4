"""What a finer map costs: measured in processes of their own, and stopped where it ends."""

import json
from dataclasses import replace

import pytest
import torch

from defdetr_ref.studies import finer_maps
from defdetr_ref.studies.finer_maps import CASES, quick_settings, run_study, table

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no module resource")


def test_every_case_is_measured_on_every_map(tmp_path):
    content = run_study(tmp_path / "maps.json", replace(quick_settings(), sides=(6, 8)))
    assert json.loads((tmp_path / "maps.json").read_text(encoding="utf-8")) == content
    assert [(row["case"], row["side"], row["tokens"]) for row in content["rows"]] == [
        (case, side, side**2) for case in CASES for side in (6, 8)
    ]
    assert all(row["seconds"] > 0 and row["peak_mib"] >= 0 for row in content["rows"])


def test_dense_attention_that_does_not_fit_is_told_and_ends_its_case(tmp_path):
    settings = replace(quick_settings(), sides=(6, 96, 128), memory=1500)  # 96⁴ × 4 heads × 4 bytes: 1.36 GB a matrix
    rows = finer_maps._in_own_process("dense", settings)
    assert [row["side"] for row in rows] == [6, 96] and rows[1] == {**rows[1], "out_of_memory": True}
    assert "out of memory" in table({"settings": {"sides": [6, 96, 128]}, "rows": rows}).splitlines()[2]


def test_a_case_that_is_too_slow_has_no_next_size():
    rows = finer_maps._in_own_process("dense", replace(quick_settings(), sides=(12, 6), too_slow=0.0))
    assert [row["side"] for row in rows] == [6]


def test_both_dense_cases_compute_the_same():
    settings = quick_settings()
    found = []
    for case in ("dense", "dense-fused"):
        tokens = finer_maps._tokens(6, settings)
        with finer_maps.sdpa_kernel(finer_maps.kernel_of(case)):
            found.append(finer_maps._forward(finer_maps._layer(case, settings), tokens))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_windows_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(finer_maps.sys, "platform", "win32")
    with pytest.raises(ValueError, match="measures memory by the module resource"):
        run_study(tmp_path / "maps.json", quick_settings())
