"""One epoch, and one step of it."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset, Subset
from tqdm import tqdm

from defdetr_ref import checkpoints
from defdetr_ref.evaluation import coco_metrics, predict
from defdetr_ref.losses import DetectionLoss, average_over_ranks
from defdetr_ref.training.batches import mixed_seed, set_epoch, train_loader
from defdetr_ref.training.config import TrainConfig
from defdetr_ref.training.distributed import ProcessGroup, training_device
from defdetr_ref.training.optimisation import lr_factor, parameter_groups, warming_average
from defdetr_ref.training.run_folder import RunFolder

CLOCKS = {"seconds": time.perf_counter, "cpu_seconds": time.process_time}  # what a run notes of its steps


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
        self.train_set, self.loader = train_set, train_loader(train_set, config, group)
        self.epoch, self.best_ap = 0, -math.inf  # epochs done; highest AP so far
        self.position = 0  # steps done in the epoch under way
        self.sums: dict[str, float] = {}  # over those steps, of every loss term and the gradient norm in this process
        self.spent = dict.fromkeys(CLOCKS, 0.0)  # on those steps
        self._random_state: dict[str, Tensor] | None = None  # with which to go on in the middle of an epoch
        self._saved_steps: int | None = None  # of all epochs, in last.pt
        self._saved_at = time.monotonic()

    @property
    def evaluated_model(self) -> nn.Module:
        """The model whose boxes count: the averaged one if there is one."""
        return self.model if self.average is None else self.average.module

    @property
    def steps(self) -> int:
        """Steps done in all epochs."""
        return self.epoch * len(self.loader) + self.position

    def train_epoch(self, bar: tqdm, between_steps: Callable[[], None]) -> dict[str, float]:
        """One pass over the training set, or what is left of it; `between_steps` is called after each step but the
        last. Returns the mean over its steps of every loss term and the gradient norm, and the seconds.
        """
        start = {name: read() - self.spent[name] for name, read in CLOCKS.items()}
        torch.manual_seed(mixed_seed(self.config.seed, self.epoch, self.group.rank))  # dropout, the loader's workers
        self.loader.sampler.set_epoch(self.epoch)  # the order
        self.loader.sampler.first = self.position * self.loader.batch_size
        set_epoch(self.train_set, self.epoch)  # augmentation
        self.model.train()
        batches = iter(self.loader)  # draws a random number
        if self._random_state is not None:
            set_random_state(self._random_state, self.device)
            self._random_state = None
        for images, mask, targets in batches:
            figures = self.train_step(self.steps, images, mask, targets)
            for name, value in figures.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.position += 1
            self.spent = {name: read() - start[name] for name, read in CLOCKS.items()}
            bar.update()
            bar.set_postfix(epoch=self.epoch + 1, loss=f"{figures['total']:.3f}")
            if self.position < len(self.loader):
                between_steps()
        means = torch.tensor(list(self.sums.values()), dtype=torch.float64, device=self.device) / len(self.loader)
        record = dict(zip(self.sums, self.group.mean(means).tolist(), strict=True))
        record |= {**self.spent, "cpu_seconds": round(self.spent["cpu_seconds"], 2)}
        self.epoch, self.position, self.sums, self.spent = self.epoch + 1, 0, {}, dict.fromkeys(CLOCKS, 0.0)
        return record

    def train_step(self, step: int, images: Tensor, mask: Tensor, targets: list[dict[str, Any]]) -> dict[str, float]:
        """One step of AdamW on one batch. Returns every loss term and "grad_norm", the norm before clipping."""
        factor = lr_factor(step, len(self.loader), self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor
        self.optimizer.zero_grad()
        sums: dict[str, Tensor] = {}
        for share, part in self._parts(images, mask, targets):
            terms = self._forward(*part)
            self.require_finite(step, terms)
            (share * terms["total"]).backward()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + share * term.detach()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm or math.inf)
        self.require_finite(step, {"gradient": norm})
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        values = torch.stack([*sums.values(), norm]).tolist()
        return dict(zip([*sums, "grad_norm"], values, strict=True))

    def _parts(self, images: Tensor, mask: Tensor, targets: list[dict[str, Any]]) -> Iterator[tuple[float, tuple]]:
        """The batch in `config.accumulate` parts, and the share of each in the loss.

        A part's loss is divided by its number of objects, that of the batch by all of them: the shares make up for it.
        Processes exchange gradients once, with the last part.
        """
        parts = self.config.accumulate
        length = len(targets) // parts
        slices = [slice(start, start + length) for start in range(0, parts * length, length)]
        if parts == 1:
            yield 1.0, (images, mask, targets)
            return
        counts = [
            average_over_ranks(sum(len(one["labels"]) for one in chosen), self.device)
            for chosen in (targets, *(targets[part] for part in slices))
        ]
        for part, count in zip(slices, counts[1:], strict=True):
            waits = self.group.world_size > 1 and part is not slices[-1]
            with self.parallel.no_sync() if waits else contextlib.nullcontext():
                yield count / counts[0], (images[part], mask[part], targets[part])

    def _forward(self, images: Tensor, mask: Tensor, targets: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The loss terms; the model at the config's precision, the loss in float32."""
        reduced = self.config.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=reduced):
            outputs = self.parallel(images.to(self.device), mask.to(self.device))
        return self.loss(
            _in_float32(outputs) if reduced else outputs, [_to_device(one, self.device) for one in targets]
        )

    def require_finite(self, step: int, values: dict[str, Tensor]) -> None:
        """Raises NonFiniteLoss, in every process, if any of `values` holds NaN or infinity in any process."""
        good = torch.stack([torch.isfinite(value.detach()).all() for value in values.values()]).double()
        share = self.group.mean(good).tolist()
        bad = [name for name, mean in zip(values, share, strict=True) if mean < 1]
        if bad:
            kept = (
                f"the last good checkpoint is {self.run.last}"
                if self.run.last.exists()
                else "there is no checkpoint yet"
            )
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
        checkpoints.save(self.run.last, self.evaluated_model, **notes, **self._state(), record=record)
        self._note_save()

    def save_within_epoch(self, notes: dict[str, Any]) -> None:
        """Write last.pt in the middle of an epoch; every process calls this, and the main one writes."""
        mine = {"sums": self.sums, "random_state": random_state(self.device)}
        within = {"position": self.position, **self.spent, "processes": self.group.all_gather([mine])}
        if self.group.is_main_process:
            notes = self._signed(notes)
            checkpoints.save(self.run.last, self.evaluated_model, **notes, **self._state(), within_epoch=within)
        self._note_save()

    def _state(self) -> dict[str, Any]:
        """What the optimizer and the running average need to go on."""
        state = {"optimizer": self.optimizer.state_dict(), "best_ap": self.best_ap}
        if self.average is not None:
            state |= {"unaveraged_model": self.model.state_dict(), "averaged_steps": int(self.average.n_averaged)}
        return state

    def _note_save(self) -> None:
        self._saved_steps, self._saved_at = self.steps, time.monotonic()

    @property
    def is_save_due(self) -> bool:
        """Whether the last save is as long ago as the config allows."""
        return 0 < 60 * self.config.save_every <= time.monotonic() - self._saved_at

    def standing(self) -> str:
        """Where an interrupted run stands, what of it is saved, and how to go on."""
        here = f"training stopped after {self.epoch} epoch{'' if self.epoch == 1 else 's'}"
        if self.position or not self.epoch:
            here = f"training stopped in epoch {self.epoch + 1} after {self.position} of {len(self.loader)} steps"
        if self._saved_steps is None:
            return f"{here}; nothing was saved yet, so start again"
        lost = self.steps - self._saved_steps
        what = f"everything but the last {lost} step{'s' if lost > 1 else ''}" if lost else "everything"
        return f"{here}; {what} is saved in {self.run.last}; go on with resume=True"

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
        if "within_epoch" in state:
            self._restore_within_epoch(state["within_epoch"])
        self._note_save()
        records = [one for one in self.run.read_metrics() if one["epoch"] <= self.epoch]
        self.best_ap = max([state["best_ap"], *(one["AP"] for one in records if one.get("AP") is not None)])
        return None if any(one["epoch"] == self.epoch for one in records) else state.get("record")

    def _restore_within_epoch(self, within: dict[str, Any]) -> None:
        """Go on in the middle of an epoch. With another number of processes nothing is the same bit for bit: each goes
        on from the mean of their sums, with the epoch's first random numbers.
        """
        self.position, self.spent = within["position"], {name: within[name] for name in CLOCKS}
        processes = within["processes"]
        if len(processes) == self.group.world_size:
            self.sums = dict(processes[self.group.rank]["sums"])
            self._random_state = processes[self.group.rank]["random_state"]
        else:
            of_all = [process["sums"] for process in processes]
            self.sums = {name: sum(sums[name] for sums in of_all) / len(of_all) for name in of_all[0]}


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Of PyTorch's generators: the CPU's and, where the model is on a GPU, that one's."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def set_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    """The inverse of `random_state`; a run may have come from a machine without a GPU."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def _in_float32(outputs: Any) -> Any:
    """The model's outputs with every tensor in float32."""
    if isinstance(outputs, Tensor):
        return outputs.float()
    if isinstance(outputs, dict):
        return {name: _in_float32(value) for name, value in outputs.items()}
    return [_in_float32(value) for value in outputs]


def _to_device(target: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The same target with its tensors on `device`."""
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in target.items()}
