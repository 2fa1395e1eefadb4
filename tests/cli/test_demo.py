"""`defdetr demo`."""

import sys
import types
from pathlib import Path

from tests.cli.commands import defdetr


def test_demo_is_called_with_its_options(monkeypatch):
    calls = []
    fake = types.ModuleType("defdetr_ref.demo.run")
    fake.run = lambda out, data, seed, quick: calls.append((out, data, seed, quick)) or Path(out) / "index.html"
    monkeypatch.setitem(sys.modules, "defdetr_ref.demo.run", fake)
    monkeypatch.setattr("defdetr_ref.demo.run", fake, raising=False)
    assert defdetr("demo", "--data", "digits", "--out", "runs/x", "--seed", "3", "--quick") == 0
    assert calls == [("runs/x", "digits", 3, True)]
