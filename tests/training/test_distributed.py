"""Two processes train as one."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from defdetr_ref import checkpoints
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.training import train
from defdetr_ref.training.distributed import silent_ranks
from defdetr_ref.training.run_folder import RunFolder
from tests.training.runs import CONFIG, CutOff, PowerCut, new_model, run, timeless

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


def cut_and_resume(rank: int, folder: str, drawn: dict) -> None:
    """What one of two processes does: train, train until the last batch of the second epoch fails, go on with that."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timedelta(minutes=5)
    )
    folder = Path(folder)
    whole, cut_off = (kind(drawn["train_images"], drawn["train_annotations"]) for kind in (CocoDetection, CutOff))
    cut_off.cut, cut_off.allowed = 1, 2
    # 3 steps of 2 images; after each but the last of an epoch the run is saved
    config = replace(CONFIG, epochs=2, batch_size=2, save_every=1e-9, ema_decay=0.5)
    run(folder / "straight", whole, config)
    with contextlib.suppress(PowerCut):
        run(folder / "cut", cut_off, config)
    dist.barrier()  # the main process is done with writing
    assert checkpoints.read(folder / "cut" / "last.pt")["within_epoch"]["position"] == 2
    torch.manual_seed(7 + rank)
    run(folder / "cut", whole, config, resume=True)
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_go_on_in_mid_epoch(tmp_path, drawn):
    mp.start_processes(cut_and_resume, (str(tmp_path), drawn), nprocs=2, start_method="spawn")
    straight, cut = (checkpoints.read(tmp_path / name / "last.pt") for name in ("straight", "cut"))
    for weights in ("model", "unaveraged_model"):
        assert all(torch.equal(straight[weights][name], cut[weights][name]) for name in straight[weights])
    straight, cut = (RunFolder(tmp_path / name).read_metrics() for name in ("straight", "cut"))
    assert len(cut) == 2 and timeless(cut) == timeless(straight)


SILENT = """
import os, signal, sys
sys.path.insert(0, {root!r})
import torch
from defdetr_ref.training.distributed import process_group
with process_group(torch.device("cpu"), minutes=0.05) as group:
    group.barrier()
    if group.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    group.mean(torch.ones(3))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
def test_a_process_that_does_not_answer_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-c", SILENT.format(root=str(Path(__file__).parents[2]))]
    ranks = [
        subprocess.Popen(command, env={**common, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        message = ranks[0].communicate(timeout=120)[1].splitlines()[-1]
    finally:
        for process in ranks:
            process.kill()
            process.communicate()
    assert message.removeprefix("[rank0]: ").startswith(
        "TimeoutError: rank 1 has not answered for 0.05 minutes, so the 2 processes"
    )


class Store(dist.Store):
    """A store in which the ranks of `present` have left their sign; asking it for others fails or, `hanging`, hangs."""

    def __init__(self, present, hanging=False):
        super().__init__()
        self.present, self.hanging, self.signs = {f"noticed by {rank}" for rank in present}, hanging, []

    def set(self, key, value):
        self.signs.append(key)

    def wait(self, keys, timeout):
        if self.hanging:
            threading.Event().wait()
        if not set(keys) <= self.present | set(self.signs):
            raise RuntimeError("wait timeout")


@pytest.mark.parametrize(
    ("store", "silent"), [(Store([0, 2]), [3]), (Store([]), [0, 2, 3]), (Store([0, 2, 3]), []), (Store([], True), [0])]
)
def test_the_roll_is_called(store, silent):
    assert silent_ranks(store, rank=1, world_size=4, limit=timedelta(milliseconds=1)) == silent
    assert set(store.signs) == {"noticed by 1"}
