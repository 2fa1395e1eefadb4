"""One process or many: who I am among them, and the few things they tell each other."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


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
def process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """The group that torchrun's environment variables describe; without them, one process.

    Joins the process group (nccl on GPUs that have it, else gloo) unless the caller has, and then leaves it as well.
    Raises ValueError if PyTorch was built without processes that talk to each other, and torchrun started several.
    """
    joined = dist.is_available() and dist.is_initialized()  # some builds have no torch.distributed to ask
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 and not joined:
        yield ProcessGroup()
        return
    if not dist.is_available():
        raise ValueError("this build of PyTorch has no torch.distributed; train in one process, without torchrun")
    ours = not joined
    if ours:
        dist.init_process_group("nccl" if device.type == "cuda" and dist.is_nccl_available() else "gloo")
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size())
    finally:
        if ours:
            dist.destroy_process_group()


def training_device(model: nn.Module) -> torch.device:
    """Where the model is; with several processes on GPUs, the GPU of this process."""
    device = next(model.parameters()).device
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return device
