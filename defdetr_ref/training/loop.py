"""From the first epoch to the last."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from defdetr_ref.data.transforms import PlainTransform
from defdetr_ref.evaluation import jsonable
from defdetr_ref.training.config import TrainConfig
from defdetr_ref.training.description import description
from defdetr_ref.training.distributed import process_group, training_device
from defdetr_ref.training.interruption import Interruptions, TrainingInterrupted
from defdetr_ref.training.run_folder import RunFolder
from defdetr_ref.training.scalar_log import scalar_log
from defdetr_ref.training.sync_batch_norm import synchronise_batch_norms
from defdetr_ref.training.trainer import Trainer


def train(
    model: nn.Module,
    train_set: Dataset,
    run_folder: str | Path,
    config: TrainConfig,
    *,
    val_set: Dataset | None = None,
    resume: bool = False,
    progress: bool = True,
    notes: dict[str, Any] | None = None,
    measure: Callable[[nn.Module], dict[str, Any]] | None = None,
    keep_epochs: Collection[int] = (),
    options: dict[str, Any] | None = None,
    loss: nn.Module | None = None,
) -> dict[str, Any]:
    """Train `model` in place and write the run into `run_folder`.

    model: on the device to train on, with `model.config`.
    train_set, val_set: CocoDetection, DrawnDataset, or anything that yields (image, target) as they do (val_set also
        needs `coco` and `image_ids`). Without val_set nothing is evaluated.
    run_folder: where the run's files go, see `defdetr_ref.training`; it is made if need be.
    config: how to train.
    resume: go on after the last step that was saved; the other arguments must be those of the first time, except that
        there may be more epochs.
    progress: show a bar and a line for each epoch.
    notes: what else to keep in every checkpoint, beside the categories' names and how images are resized; numbers,
        strings, dicts.
    measure: called with the model after every epoch; what it returns joins the epoch's record and must fit into JSON.
    keep_epochs: numbers of epochs, from 1, whose weights stay as epoch-N.pt.
    options: what else decides the run's numbers, for config.json; it must be the same when the run is resumed.
    loss: what is minimised, called as `DetectionLoss` is; None for that.

    Returns {"metrics": the records of all epochs, "checkpoint": path of last.pt}. Raises ValueError if the folder
    already holds a run, or another one than is to be resumed; NonFiniteLoss; TrainingInterrupted after Ctrl-C; and
    TimeoutError, naming them, if other processes do not answer.
    """
    run = RunFolder(Path(run_folder))
    device = training_device(model)
    with process_group(device, config.timeout) as group, Interruptions(group.is_main_process) as interruptions:
        described = description(model, config, train_set, val_set, options or {})
        run.check(described, resume)
        if group.world_size > 1:
            synchronise_batch_norms(model)
        trainer = Trainer(model, train_set, run, config, group, loss)
        unfinished = trainer.restore() if resume else None
        group.barrier()  # everyone has looked into the folder before the first file is written
        if group.is_main_process:
            run.write_config(described)
            run.keep_metrics(trainer.epoch)
        notes = {**notes_of(train_set), **(notes or {})}

        def between_steps() -> None:
            """Save if it is time, and stop if that was asked for, in all processes if in one."""
            flags = torch.tensor([trainer.is_save_due, interruptions.requested], dtype=torch.float32, device=device)
            is_due, is_stopping = (group.mean(flags) > 0).tolist()
            if is_due or is_stopping:
                trainer.save_within_epoch(notes)
            if is_stopping:
                raise KeyboardInterrupt

        total = config.epochs * len(trainer.loader)
        hidden = not (progress and group.is_main_process)
        with (
            tqdm(total=total, initial=trainer.steps, desc="train", disable=hidden) as bar,
            _reporting_what_is_saved(trainer),
            scalar_log(run.folder, trainer.epoch, group.is_main_process) as log,
        ):
            while unfinished or trainer.epoch < config.epochs:
                with interruptions.deferred():
                    record, unfinished = unfinished or _train_epoch(trainer, bar, between_steps), None
                    if group.is_main_process:  # first of all: what comes now may fail, and the epoch is done
                        trainer.save(notes, record, keep_epochs)
                record = _judge(trainer, record, val_set, measure)
                if group.is_main_process:
                    with interruptions.deferred():
                        trainer.save_best(notes, record.get("AP"))
                        run.add_metrics(record)
                    log(record)
                    if progress:
                        bar.write(_format_record(record))
                group.barrier()
        if trainer.average is not None:
            model.load_state_dict(trainer.average.module.state_dict())
        return {"metrics": run.read_metrics(), "checkpoint": run.last}


@contextmanager
def _reporting_what_is_saved(trainer: Trainer) -> Iterator[None]:
    """Raises TrainingInterrupted, which says what is saved, for a bare KeyboardInterrupt."""
    try:
        yield
    except KeyboardInterrupt:
        raise TrainingInterrupted(trainer.standing()) from None


def _train_epoch(trainer: Trainer, bar: tqdm, between_steps: Callable[[], None]) -> dict[str, Any]:
    """Train an epoch; returns what is known of it before it is evaluated."""
    means = trainer.train_epoch(bar, between_steps)
    return {"epoch": trainer.epoch, "lr": trainer.optimizer.param_groups[0]["lr"], **means}


def _judge(
    trainer: Trainer,
    record: dict[str, Any],
    val_set: Dataset | None,
    measure: Callable[[nn.Module], dict[str, Any]] | None,
) -> dict[str, Any]:
    """Evaluate the epoch if it is due, and measure; returns the line for metrics.jsonl."""
    start = time.perf_counter()
    due = trainer.epoch % trainer.config.eval_every == 0 or trainer.epoch == trainer.config.epochs
    metrics = jsonable(trainer.evaluate(val_set)) if val_set is not None and due else {}
    measured = measure(trainer.evaluated_model) if measure is not None else {}
    seconds = round(record["seconds"] + time.perf_counter() - start, 2)
    return {**record, **metrics, **measured, "seconds": seconds}


def _format_record(record: dict[str, Any]) -> str:
    """An epoch in one line, for the terminal."""
    ap = "" if record.get("AP") is None else f", AP {100 * record['AP']:.1f}"
    return f"epoch {record['epoch']}: loss {record['total']:.3f}{ap}, {record['seconds']:.0f} s"


def notes_of(train_set: Dataset) -> dict[str, Any]:
    """What a checkpoint must say besides weights for its model to be used on other images, as far as the set knows.

    "categories": {id: name}. "resize": "none" if images are shown as they are, "paper" if with a short side of 800 px.
    "image_size": [height, width] if they are shown as they are and are all of this size, the only one it will know.
    """
    notes: dict[str, Any] = {}
    if hasattr(train_set, "categories"):
        notes["categories"] = dict(train_set.categories)
    if hasattr(train_set, "transform"):
        notes["resize"] = "none" if isinstance(train_set.transform, PlainTransform) else "paper"
    size = getattr(train_set, "image_size", None)
    if notes.get("resize") == "none" and size is not None:
        notes["image_size"] = list(size)
    return notes
