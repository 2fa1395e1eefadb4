"""Two processes train as one."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from defdetr_ref import checkpoints
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.training import train
from tests.training.runs import CONFIG, new_model

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.training.test_distributed import train_one_step
train_one_step(Path({drawn!r}), Path(sys.argv[1]))
"""


def train_one_step(drawn, folder):
    """One step over 6 images, which one process or two can take."""
    train_set, val_set = (CocoDetection(drawn / split, drawn / f"{split}.json") for split in ("train", "val"))
    config = replace(CONFIG, epochs=1, batch_size=6)
    result = train(new_model(dropout=0.0), train_set, folder, config, val_set=val_set, progress=False)
    assert len(result["metrics"]) == 1


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path, drawn):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(Path(__file__).parents[2]), drawn=str(drawn["folder"])), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if sys.platform == "win32":
        environment["USE_LIBUV"] = "0"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for folder, before in (("one", []), ("two", launcher)):
        command = [sys.executable, *before, str(script), str(tmp_path / folder)]
        subprocess.run(command, check=True, env=environment, timeout=300)

    one, two = (
        json.loads((tmp_path / folder / "metrics.jsonl").read_text(encoding="utf-8")) for folder in ("one", "two")
    )
    del one["seconds"], two["seconds"], one["cpu_seconds"], two["cpu_seconds"]
    assert two == pytest.approx(one, rel=1e-4)
    # After one step, Adam's first moment is a tenth of the (clipped) gradient.
    states = [checkpoints.read(tmp_path / folder / "last.pt")["optimizer"]["state"] for folder in ("one", "two")]
    a, b = (torch.cat([state[index]["exp_avg"].flatten() for index in sorted(state)]) for state in states)
    assert a.norm().item() == pytest.approx(0.1 * CONFIG.clip_norm, rel=1e-3)
    assert (a - b).norm() < 1e-4 * a.norm()
    # Batch norm has seen all six images in both, so its running statistics are the same, too.
    weights = [checkpoints.read(tmp_path / folder / "last.pt")["model"] for folder in ("one", "two")]
    running = [key for key in weights[0] if "running_" in key]
    assert len(running) > 10
    for key in running:
        torch.testing.assert_close(weights[1][key], weights[0][key], rtol=1e-5, atol=1e-6)
