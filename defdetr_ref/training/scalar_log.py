"""Curves for TensorBoard, where it is installed."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Log = Callable[[dict[str, Any]], None]


@contextmanager
def scalar_log(folder: Path, epochs_done: int, is_writing: bool) -> Iterator[Log]:
    """A function that logs every number of an epoch's record under its name, with the epoch as step, into
    `folder`/tensorboard. It does nothing where tensorboard is not installed, or if not `is_writing`.

    What an earlier start of the run logged after `epochs_done` is hidden.
    """
    if not is_writing or importlib.util.find_spec("tensorboard") is None:
        yield lambda record: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard"), purge_step=epochs_done + 1) as writer:

        def log(record: dict[str, Any]) -> None:
            for name, value in record.items():
                if name != "epoch" and isinstance(value, int | float):
                    writer.add_scalar(name, value, record["epoch"])
            writer.flush()

        yield log
