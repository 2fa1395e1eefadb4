"""What can be chosen about a training run."""

from dataclasses import dataclass


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

    def __post_init__(self) -> None:
        """Raises ValueError for a value no training can have."""
        for name in ("epochs", "batch_size", "lr", "eval_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"TrainConfig: {name} must be above 0, got {getattr(self, name)}")
        for name in ("num_workers", "warmup_steps", "clip_norm", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"TrainConfig: {name} must not be negative, got {getattr(self, name)}")
        if self.schedule not in ("step", "cosine"):
            raise ValueError(f"TrainConfig: schedule must be 'step' or 'cosine', got {self.schedule!r}")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise ValueError(f"TrainConfig: ema_decay must be in [0, 1), got {self.ema_decay}")
