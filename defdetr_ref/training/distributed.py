"""One process or many: who I am among them, and the few things they tell each other."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

FOR_ALL_TO_START = timedelta(minutes=10)  # the data are read before, by some processes faster than by others
LONGEST_ROLL_CALL = timedelta(minutes=1)
# Of what gloo and nccl say when another process is stopped, hangs or is gone.
NO_ANSWER = ("imed out", "onnection closed", "onnection reset", "roken pipe", "timeout")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together; one alone is a group of world size 1."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main_process(self) -> bool:
        """True in the one process that writes files and shows progress."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.world_size > 1:
            dist.barrier()

    def mean(self, values: Tensor) -> Tensor:
        """The mean of `values` over the processes."""
        if self.world_size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values / self.world_size

    def all_gather(self, rows: list[Any]) -> list[Any]:
        """The lists of all processes, one after the other."""
        if self.world_size == 1:
            return rows
        parts: list[Any] = [None] * self.world_size
        dist.all_gather_object(parts, rows)
        return [row for part in parts for row in part]


@contextlib.contextmanager
def process_group(device: torch.device, minutes: float) -> Iterator[ProcessGroup]:
    """The group that torchrun's environment variables describe; without them, one process.

    device: of the model.
    minutes: how long a process waits for others that do not answer.

    Joins the process group (nccl on GPUs that have it, else gloo) unless the caller has, and then leaves it as well.
    Raises ValueError if PyTorch was built without processes that talk to each other, and torchrun started several;
    TimeoutError, which names them, if processes do not answer in time.
    """
    joined = dist.is_available() and dist.is_initialized()  # some builds have no torch.distributed to ask
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 and not joined:
        yield ProcessGroup()
        return
    if not dist.is_available():
        raise ValueError("this build of PyTorch has no torch.distributed; train in one process, without torchrun")
    if joined:  # by the caller, who has set a time limit
        yield ProcessGroup(dist.get_rank(), dist.get_world_size())
        return
    limit = timedelta(minutes=minutes)
    store, rank, world_size = next(dist.rendezvous("env://", timeout=max(limit, FOR_ALL_TO_START)))
    backend = "nccl" if device.type == "cuda" and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=limit)
    try:
        yield ProcessGroup(rank, world_size)
    except RuntimeError as error:
        if any(words in str(error) for words in NO_ANSWER):
            silent = silent_ranks(store, rank, world_size, limit)
            if silent:
                raise TimeoutError(_no_answer(silent, world_size, minutes)) from error
        raise
    finally:
        dist.destroy_process_group()


def silent_ranks(store: "dist.Store", rank: int, world_size: int, limit: timedelta) -> list[int]:
    """Which processes do not say in time that they, too, have noticed that something is wrong.

    store: which all processes write to and read from.
    rank, world_size: of this process, and how many there are.
    limit: for an answer; more than a minute is never waited.
    """
    wait = min(limit, LONGEST_ROLL_CALL)
    silent: list[int] = []

    def call_the_roll() -> None:
        deadline = time.monotonic() + wait.total_seconds()
        for other in range(world_size):
            try:
                store.set(f"noticed by {rank}", "")
                store.wait([f"noticed by {other}"], timedelta(seconds=max(0.1, deadline - time.monotonic())))
            except RuntimeError:
                silent.append(other)

    # Without torchrun the first process holds the store; if that one is stopped, asking it never comes to an end.
    roll_call = threading.Thread(target=call_the_roll, daemon=True)
    roll_call.start()
    roll_call.join((2 * wait).total_seconds() + world_size)
    return [0] if roll_call.is_alive() else silent


def _no_answer(silent: list[int], world_size: int, minutes: float) -> str:
    ranks = f"rank {silent[0]} has" if len(silent) == 1 else f"ranks {', '.join(map(str, silent))} have"
    return (
        f"{ranks} not answered for {minutes:g} minutes, so the {world_size} processes cannot go on; look at what "
        "happened there, then go on with resume=True, or allow more time with timeout=MINUTES"
    )


def training_device(model: nn.Module) -> torch.device:
    """Where the model is; with several processes on GPUs, the GPU of this process."""
    device = next(model.parameters()).device
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return device
