"""One training, shared by several processes of this machine: on a CPU, two of one thread do more than one of two."""

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, start_processes
from torch.utils.data import Dataset

from defdetr_ref import checkpoints
from defdetr_ref.training.config import TrainConfig
from defdetr_ref.training.loop import train
from defdetr_ref.training.run_folder import RunFolder

USERS_ERRORS = (ValueError, OSError, ArithmeticError, ImportError)  # what the caller of `train` expects


def train_in_processes(
    processes: int, model: nn.Module, train_set: Dataset, run_folder: str | Path, config: TrainConfig, **options: Any
) -> dict[str, Any]:
    """`train`, with the images of each step shared by `processes` new processes; the same numbers up to rounding.

    processes: 1 trains in this one.
    model: on the CPU; it has the trained weights afterwards.
    train_set, run_folder, config, options: as of `train`; they must be picklable.

    Raises what `train` raises, and RuntimeError if a process was killed.
    """
    if processes == 1:
        return train(model, train_set, run_folder, config, **options)
    threads = max(1, torch.get_num_threads() // processes)
    with tempfile.TemporaryDirectory() as meeting:
        job = (meeting, processes, threads, model, train_set, run_folder, config, options)
        try:
            start_processes(_train_a_share, job, nprocs=processes, start_method="spawn")
        except ProcessExitedException as error:
            told = Path(meeting) / "error"
            if told.exists():
                raise pickle.loads(told.read_bytes()) from None
            raise RuntimeError(
                f"a process of the training ended with code {error.exit_code}; the run in {run_folder} can be resumed"
            ) from None
    run = RunFolder(Path(run_folder))
    checkpoints.load(model, run.last)
    return {"metrics": run.read_metrics(), "checkpoint": run.last}


def _train_a_share(
    rank: int,
    meeting: str,
    processes: int,
    threads: int,
    model: nn.Module,
    train_set: Dataset,
    run_folder: str | Path,
    config: TrainConfig,
    options: dict[str, Any],
) -> None:
    """What each process does. An error that the user can mend goes to the caller, as it is."""
    torch.set_num_threads(threads)
    # A file is where they meet: no port to be taken by others.
    store = (
        f"file://{Path(meeting).as_posix()}/store" if os.name != "nt" else f"file:///{Path(meeting).as_posix()}/store"
    )
    try:
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=processes)
        train(model, train_set, run_folder, config, **options)
        dist.destroy_process_group()
    except KeyboardInterrupt:  # every process of a terminal gets it; the first one speaks
        os._exit(1)
    except USERS_ERRORS as error:
        partial = Path(meeting) / f"error-{rank}"
        partial.write_bytes(pickle.dumps(error))
        os.replace(partial, Path(meeting) / "error")
        os._exit(1)  # without waiting for the others, who wait for this one
