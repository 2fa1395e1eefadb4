"""What can be chosen about a training run."""

from dataclasses import dataclass, fields
from typing import Any

# Fields that came after results had been stored; at their defaults they mean what was done before.
LATER_FIELDS = ("accumulate", "precision", "save_every", "timeout")


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the defaults are the paper's (appendix A.4) and the published code's.

    batch_size counts the images of a step over all processes together. A backbone that starts from random weights
    needs `backbone_lr_factor=1`: a tenth of the rate is meant for one that was trained on ImageNet.
    """

    epochs: int = 50  # passes over the training images
    batch_size: int = 32  # images of a step, of all processes together
    lr: float = 2e-4  # AdamW's, for all parameters but those of the next two
    backbone_lr_factor: float = 0.1  # the backbone's share of lr
    lr_slow_factor: float = 0.1  # of SLOW_NAMES
    weight_decay: float = 1e-4  # AdamW's, biases and norms included
    clip_norm: float = 0.1  # longest gradient, over all parameters together; 0: no limit
    schedule: str = "step"  # "step": a tenth of the rate from drop_epoch on (paper); "cosine": down to 0
    drop_epoch: int | None = None  # None: after four fifths of the epochs, which is 40 of 50
    warmup_steps: int = 0  # the rate climbs linearly over this many steps
    ema_decay: float | None = None  # if set, a running average of the weights is evaluated and kept (not in the paper)
    seed: int = 0  # with the epoch's number, decides order, augmentation and dropout
    eval_every: int = 1  # epochs between evaluations on the validation set; the last epoch is always evaluated
    num_workers: int = 0  # processes that load images; 0: this one
    accumulate: int = 1  # a step's images pass through in so many equal parts, one after the other: less memory
    precision: str = "fp32"  # "bf16": matrix products and convolutions of the training steps in bfloat16
    save_every: float = 10.0  # minutes between saves within an epoch; 0: only after each epoch
    timeout: float = 10.0  # minutes that a process waits for one that does not answer

    def __post_init__(self) -> None:
        """Raises ValueError for a value no training can have."""
        for name in ("epochs", "batch_size", "lr", "eval_every", "accumulate", "timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"TrainConfig: {name} must be above 0, got {getattr(self, name)}")
        for name in ("num_workers", "warmup_steps", "clip_norm", "weight_decay", "seed", "save_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"TrainConfig: {name} must not be negative, got {getattr(self, name)}")
        if self.schedule not in ("step", "cosine"):
            raise ValueError(f"TrainConfig: schedule must be 'step' or 'cosine', got {self.schedule!r}")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"TrainConfig: precision must be 'fp32' or 'bf16', got {self.precision!r}")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"TrainConfig: batch_size must be a multiple of accumulate={self.accumulate}, got {self.batch_size}"
            )
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise ValueError(f"TrainConfig: ema_decay must be in [0, 1), got {self.ema_decay}")

    def identity(self) -> dict[str, Any]:
        """What stored results say of it: every field, except that later ones are left out at their defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in LATER_FIELDS or getattr(self, field.name) != field.default
        }
