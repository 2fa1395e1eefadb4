"""One epoch, and one step of it."""

import dataclasses
import math
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset
from tqdm import tqdm

from defdetr_ref import checkpoints
from defdetr_ref.data.coco import collate
from defdetr_ref.evaluation import coco_metrics, predict
from defdetr_ref.losses import DetectionLoss
from defdetr_ref.training.config import TrainConfig
from defdetr_ref.training.distributed import ProcessGroup, training_device
from defdetr_ref.training.optimisation import lr_factor, parameter_groups, warming_average
from defdetr_ref.training.run_folder import RunFolder


class NonFiniteLoss(ArithmeticError):
    """The loss or the gradient became NaN or infinite, and training stopped before it could spoil the weights."""


class Trainer:
    """What a run carries from epoch to epoch, and how one epoch is done."""

    def __init__(
        self,
        model: nn.Module,
        train_set: Dataset,
        run: RunFolder,
        config: TrainConfig,
        group: ProcessGroup,
        loss: nn.Module | None = None,
    ):
        self.config, self.run, self.group = config, run, group
        self.device = training_device(model)
        self.model = model.to(self.device)
        self.loss = loss or DetectionLoss(model.config.num_classes)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(model, config), weight_decay=config.weight_decay, fused=True
        )
        self.average = None
        if config.ema_decay is not None:
            self.average = AveragedModel(self.model, multi_avg_fn=warming_average(config.ema_decay))
        self.parallel = DistributedDataParallel(self.model) if group.world_size > 1 else self.model
        self.train_set, self.loader = train_set, _train_loader(train_set, config, group)
        self.epoch, self.best_ap = 0, -math.inf  # epochs done; highest AP so far

    @property
    def evaluated_model(self) -> nn.Module:
        """The model whose boxes count: the averaged one if there is one."""
        return self.model if self.average is None else self.average.module

    def train_epoch(self, bar: tqdm) -> dict[str, float]:
        """One pass over the training set. Returns the mean over its steps of every loss term and the gradient norm."""
        torch.manual_seed(mixed_seed(self.config.seed, self.epoch, self.group.rank))  # dropout, the loader's workers
        self.loader.sampler.set_epoch(self.epoch)  # the order
        _set_epoch(self.train_set, self.epoch)  # augmentation
        self.model.train()
        sums: dict[str, float] = {}
        for position, (images, mask, targets) in enumerate(self.loader):
            step = self.epoch * len(self.loader) + position
            figures = self.train_step(step, images, mask, targets)
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value
            bar.update()
            bar.set_postfix(epoch=self.epoch + 1, loss=f"{figures['total']:.3f}")
        means = torch.tensor(list(sums.values()), dtype=torch.float64, device=self.device) / len(self.loader)
        return dict(zip(sums, self.group.mean(means).tolist(), strict=True))

    def train_step(self, step: int, images: Tensor, mask: Tensor, targets: list[dict[str, Any]]) -> dict[str, float]:
        """One step of AdamW on one batch. Returns every loss term and "grad_norm", the norm before clipping."""
        factor = lr_factor(step, len(self.loader), self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor
        targets = [_to_device(target, self.device) for target in targets]
        outputs = self.parallel(images.to(self.device), mask.to(self.device))
        terms = self.loss(outputs, targets)
        self.require_finite(step, terms)
        self.optimizer.zero_grad()
        terms["total"].backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm or math.inf)
        self.require_finite(step, {"gradient": norm})
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        values = torch.stack([*terms.values(), norm]).tolist()
        return dict(zip([*terms, "grad_norm"], values, strict=True))

    def require_finite(self, step: int, values: dict[str, Tensor]) -> None:
        """Raises NonFiniteLoss, in every process, if any of `values` holds NaN or infinity in any process."""
        good = torch.stack([torch.isfinite(value.detach()).all() for value in values.values()]).double()
        share = self.group.mean(good).tolist()
        bad = [name for name, mean in zip(values, share, strict=True) if mean < 1]
        if bad:
            kept = f"the last good checkpoint is {self.run.last}" if self.epoch else "there is no checkpoint yet"
            raise NonFiniteLoss(
                f"training stopped at step {step + 1} (epoch {self.epoch + 1}): {', '.join(bad)} became NaN or "
                f"infinite; {kept}; try a lower learning rate"
            )

    def evaluate(self, val_set: Dataset) -> dict[str, float]:
        """The twelve COCO figures. The processes share the images, and each of them gets the figures."""
        mine = Subset(val_set, range(self.group.rank, len(val_set), self.group.world_size))
        batch_size = max(1, self.config.batch_size // self.group.world_size)
        workers = self.config.num_workers
        detections = predict(self.evaluated_model, mine, batch_size=batch_size, num_workers=workers, progress=False)
        return coco_metrics(val_set.coco, self.group.all_gather(detections), val_set.image_ids)

    def save(self, notes: dict[str, Any], record: dict[str, Any], keep_epochs: Collection[int] = ()) -> None:
        """Write last.pt, from which the run can go on.

        record: of the epoch, not evaluated as yet. An epoch of `keep_epochs` gets a file of its own. It comes first: a
        run that stops here repeats the epoch.
        """
        notes = self._signed(notes)
        if self.epoch in keep_epochs:
            checkpoints.save(self.run.kept(self.epoch), self.evaluated_model, **notes)
        state = {"optimizer": self.optimizer.state_dict(), "best_ap": self.best_ap, "record": record}
        if self.average is not None:
            state |= {"unaveraged_model": self.model.state_dict(), "averaged_steps": int(self.average.n_averaged)}
        checkpoints.save(self.run.last, self.evaluated_model, **notes, **state)

    def save_best(self, notes: dict[str, Any], ap: float | None) -> None:
        """Write best.pt if `ap` is the highest so far; None means that it is not known."""
        if ap is not None and ap > self.best_ap:
            self.best_ap = ap
            checkpoints.save(self.run.best, self.evaluated_model, **self._signed(notes), AP=ap)

    def _signed(self, notes: dict[str, Any]) -> dict[str, Any]:
        """The notes, and when and how the weights came about."""
        return {**notes, "epoch": self.epoch, "train_config": dataclasses.asdict(self.config)}

    def restore(self) -> dict[str, Any] | None:
        """Take weights, optimizer and epoch from last.pt. A run that never finished an epoch starts again.

        Returns the record of the last epoch if the run stopped before it was evaluated, so that it is done now.
        """
        if not self.run.last.exists():
            return None
        state = checkpoints.read(self.run.last)
        checkpoints.load(self.model, state["model"] if self.average is None else state["unaveraged_model"])
        if self.average is not None:
            checkpoints.load(self.average.module, state["model"])
            self.average.n_averaged.fill_(state["averaged_steps"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        records = [one for one in self.run.read_metrics() if one["epoch"] <= self.epoch]
        self.best_ap = max([state["best_ap"], *(one["AP"] for one in records if one.get("AP") is not None)])
        return None if any(one["epoch"] == self.epoch for one in records) else state.get("record")


def _train_loader(train_set: Dataset, config: TrainConfig, group: ProcessGroup) -> DataLoader:
    """Batches in an order that depends on seed and epoch only; the last short batch is dropped (published code).

    With several processes each takes its share of the very batches that one process would have made. Raises
    ValueError if the batch cannot be shared equally, or if the set is smaller than one batch.
    """
    if config.batch_size % group.world_size:
        raise ValueError(f"batch_size {config.batch_size} cannot be shared equally by {group.world_size} processes")
    if len(train_set) < config.batch_size:
        raise ValueError(
            f"the training set has {len(train_set)} images, fewer than one batch of {config.batch_size}; "
            f"set the batch size to {len(train_set)} or less"
        )
    seed = mixed_seed(config.seed)
    sampler = DistributedSampler(train_set, group.world_size, group.rank, shuffle=True, seed=seed, drop_last=True)
    return DataLoader(
        train_set,
        batch_size=config.batch_size // group.world_size,
        sampler=sampler,
        drop_last=True,
        collate_fn=collate,
        num_workers=config.num_workers,
    )


def mixed_seed(*numbers: int) -> int:
    """A 32-bit seed from several numbers, so that seed 0 in epoch 1 is not seed 1 in epoch 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _to_device(target: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The same target with its tensors on `device`."""
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in target.items()}


def _set_epoch(dataset: Dataset, epoch: int) -> None:
    """Tell the data set, or the one inside a Subset, which epoch's random numbers to draw."""
    while not hasattr(dataset, "set_epoch") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(epoch)
