"""`defdetr eval`."""

import json

from defdetr_ref.evaluation import METRICS
from tests.cli.commands import defdetr


def test_eval_prints_the_figures_and_writes_them(trained, drawn, tmp_path, capsys):
    out = tmp_path / "deep" / "metrics.json"
    assert defdetr("eval", trained / "last.pt", "--data", drawn, "--out", out, "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(METRICS)
    assert list(json.loads(out.read_text(encoding="utf-8"))) == list(METRICS)
    files = ["--images", drawn / "val", "--annotations", drawn / "val.json"]
    assert defdetr("eval", trained / "last.pt", *files, "--batch-size", 1, "--device", "cpu") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METRICS)
