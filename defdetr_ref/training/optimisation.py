"""Which parameter learns how fast, and when."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from defdetr_ref.training.config import TrainConfig

SLOW_NAMES = ("reference_points", "sampling_offsets")  # published code: these learn at a tenth of the rate


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Three groups told apart by parameter names, as in the published code: the rest, the backbone, the slow ones.

    Frozen parameters are left out. Weight decay is the same for all, biases and norms included.
    """
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    backbone = [name for name in trainable if "backbone" in name]
    slow = [name for name in trainable if name not in backbone and any(part in name for part in SLOW_NAMES)]
    rest = [name for name in trainable if name not in backbone and name not in slow]
    groups = (
        ("rest", rest, config.lr),
        ("backbone", backbone, config.lr * config.backbone_lr_factor),
        ("slow", slow, config.lr * config.lr_slow_factor),
    )
    return [
        {"name": group, "params": [trainable[name] for name in names], "lr": lr, "full_lr": lr}
        for group, names, lr in groups
    ]


def lr_factor(step: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """The share of the full learning rate at `step`, counted from 0 over all epochs."""
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.schedule == "cosine":
        return warmup * (1 + math.cos(math.pi * step / (config.epochs * steps_per_epoch))) / 2
    drop_epoch = max(1, config.epochs * 4 // 5) if config.drop_epoch is None else config.drop_epoch
    return warmup * (0.1 if step >= drop_epoch * steps_per_epoch else 1.0)


def warming_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """A running average for `AveragedModel` that follows closely at first and holds on to `decay` later.

    Step n (from 1) keeps a share min(decay, (1 + n) / (10 + n)) of what was there: with decay alone the first weights,
    which are random, would weigh for thousands of steps. The usual rule of TensorFlow and timm.
    """

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
        share = min(decay, (1 + float(steps)) / (10 + float(steps)))
        torch._foreach_lerp_(averaged, current, 1 - share)

    return update
