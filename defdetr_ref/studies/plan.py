"""What the convergence study trains: its settings, and the runs that follow from them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.data.shapes import ShapesConfig
from defdetr_ref.dense import DetrBaseline
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.training import TrainConfig

MODELS: dict[str, type[nn.Module]] = {"deformable": DeformableDETR, "dense": DetrBaseline}


@dataclass(frozen=True)
class Settings:
    """What all runs of a study share.

    The canvas is easy enough that a small model learns something in minutes, and has objects of all three size
    classes. `focus_images`: on how many validation images the attention is measured.
    """

    canvas: ShapesConfig = ShapesConfig(
        image_size=64, shapes=("circle", "cross"), max_objects=2, min_side=5, max_side=44,
        max_overlap=0, crowd_fraction=0, empty_fraction=0,
    )  # fmt: skip
    train_images: int = 750
    val_images: int = 200
    data_seed: int = 0
    model: dict[str, Any] = field(
        default_factory=lambda: dict(d_model=64, d_ffn=128, encoder_layers=1, decoder_layers=2, num_queries=10)
    )
    batch_size: int = 4  # many small steps learn more in minutes than few large ones
    warmup_steps: int = 100
    epochs: int = 16
    search_epochs: int = 5
    search_seed: int = 100  # of no final run
    rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3, 4e-3)
    seeds: tuple[int, ...] = (0, 1, 2)
    focus_images: int = 16

    def model_config(self) -> DeformableDETRConfig:
        """Of both models: the `tiny` preset without box refinement and second stage."""
        classes = 1 + len(self.canvas.shapes)
        plain = {"num_classes": classes, "box_refine": False, "two_stage": False}
        return DeformableDETRConfig.preset("tiny", **plain, **self.model)

    def shared(self) -> dict[str, Any]:
        """What decides the numbers of a single run; written into its file. The plan (rates, seeds) is no part of it."""
        model = asdict(self.model_config())
        del model["attention_backend"]  # says how something is computed, not what
        return {
            "canvas": self.canvas.as_json(),
            "images": {"train": self.train_images, "val": self.val_images, "seed": self.data_seed},
            "model": model,
            "focus_images": self.focus_images,
        }


def quick_settings() -> Settings:
    """A minute only: everything runs, little is learned."""
    return Settings(
        train_images=16, val_images=6, epochs=2, search_epochs=1, rates=(5e-4, 1e-3), seeds=(0, 1), focus_images=3,
        model=dict(d_model=32, d_ffn=32, encoder_layers=1, decoder_layers=2, num_queries=9), warmup_steps=2,
    )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training of one model."""

    stage: str  # "search" or "final"
    model: str  # a key of MODELS
    lr: float
    seed: int
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.model}-lr{self.lr:g}-seed{self.seed}"

    def train_config(self, settings: Settings) -> TrainConfig:
        """The backbone starts from random weights, so everything learns at the full rate."""
        return TrainConfig(
            epochs=self.epochs,
            batch_size=settings.batch_size,
            lr=self.lr,
            backbone_lr_factor=1.0,
            lr_slow_factor=1.0,
            clip_norm=1.0,
            schedule="cosine",
            warmup_steps=settings.warmup_steps,
            seed=self.seed,
        )


def search_runs(settings: Settings) -> list[Run]:
    """Every candidate rate for every model, in a short run."""
    return [
        Run("search", model, lr, settings.search_seed, settings.search_epochs)
        for lr in settings.rates
        for model in MODELS
    ]


def final_runs(settings: Settings, rates: dict[str, float]) -> list[Run]:
    """Every seed for every model, at that model's own rate."""
    return [Run("final", model, rates[model], seed, settings.epochs) for seed in settings.seeds for model in MODELS]


def best_rates(results: Iterable[dict[str, Any]]) -> dict[str, float]:
    """For every model the rate whose search run ended with the lowest training loss.

    Not with the highest AP, which is nearly zero for all rates as long as a model has learned little.
    """
    best: dict[str, tuple[float, float]] = {}
    for result in results:
        if result["run"]["stage"] == "search":
            model, found = result["run"]["model"], (result["epochs"][-1]["total"], result["run"]["lr"])
            best[model] = min(best.get(model, found), found)
    return {model: lr for model, (_, lr) in best.items()}
