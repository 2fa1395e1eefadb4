"""What the studies train: the settings that all runs share, and the runs that follow from them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from defdetr_ref.data.shapes import ShapesConfig
from defdetr_ref.studies.variants import VARIANTS
from defdetr_ref.training.config import TrainConfig

DEFORMABLE, DETR = ("deformable", "deformable-16"), ("detr-16", "detr-8")
MODELS = (*DEFORMABLE, *DETR)  # of the convergence study; the first of each kind are the main pair


def drawn_canvas(side: int, max_objects: int) -> ShapesConfig:
    """Circles and crosses of 5 to 44 px that do not overlap, on a square image of `side` px."""
    return ShapesConfig(
        image_size=side, shapes=("circle", "cross"), max_objects=max_objects, min_side=5, max_side=44, max_overlap=0,
        crowd_fraction=0, empty_fraction=0,
    )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What all runs on one canvas share.

    canvas: what the images look like.
    backbone_canvas, backbone_steps, backbone_images: what the shared backbone was trained on, and for how long.
    train_images: of an epoch, always the same ones, turned.
    val_images: so many that each size class has at least 300 objects.
    data_seed: of the training images; the next one is that of the validation images.
    model: fields of the config, on top of the preset `tiny`.
    batch_size: images of a step.
    warmup: steps, by kind of model.
    rates: the candidates that the search tries, by model.
    search_epochs, search_seeds: of the search, in which the rate never drops and no seed is a final run's.
    epochs: of the final runs; DETR has ten times as many.
    seeds: of the final runs, by model.
    eval_every: epochs between evaluations, by kind of model.
    focus_images: on how many validation images attention is measured.
    """

    canvas: ShapesConfig = drawn_canvas(96, 4)
    backbone_canvas: ShapesConfig = drawn_canvas(64, 2)
    backbone_steps: int = 3000
    backbone_images: int = 4000
    train_images: int = 2000
    val_images: int = 700
    data_seed: int = 31
    model: dict[str, Any] = field(
        default_factory=lambda: dict(
            d_model=64, d_ffn=128, num_heads=4, encoder_layers=1, decoder_layers=2, num_queries=20,
            box_refine=False, two_stage=False,
        )
    )  # fmt: skip
    batch_size: int = 16
    warmup: dict[str, int] = field(default_factory=lambda: {"deformable": 200, "detr": 500})
    rates: dict[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            **dict.fromkeys(DEFORMABLE, (2e-3, 4e-3, 8e-3)),
            **dict.fromkeys(DETR, (5e-4, 1e-3, 2e-3)),
        }
    )
    search_epochs: dict[str, int] = field(default_factory=lambda: {"deformable": 8, "detr": 40})
    search_seeds: tuple[int, ...] = (101, 102)
    epochs: dict[str, int] = field(default_factory=lambda: {"deformable": 10, "detr": 100})
    seeds: dict[str, tuple[int, ...]] = field(
        default_factory=lambda: {
            "deformable": (11, 12, 13, 14, 15),
            "detr-16": (11, 12, 13, 14, 15),
            "deformable-16": (11, 12, 13),
            "detr-8": (11, 12, 13),
        }
    )
    eval_every: dict[str, int] = field(default_factory=lambda: {"deformable": 1, "detr": 5})
    focus_images: int = 16

    def __post_init__(self) -> None:
        """Raises ValueError for images that are not square: turned ones would not fit beside the others."""
        for name in ("canvas", "backbone_canvas"):
            height, width = getattr(self, name).size
            if height != width:
                raise ValueError(
                    f"study: {name} is {height} × {width} px, but must be square, because images are turned"
                )

    def model_fields(self) -> dict[str, Any]:
        """Of the config, for every variant."""
        return {"num_classes": 1 + len(self.canvas.shapes), **self.model}

    def shared(self) -> dict[str, Any]:
        """What decides the numbers of a single run; written into its file. The plan (rates, seeds) is no part of it."""
        return {
            "canvas": self.canvas.as_json(),
            "backbone": {
                "canvas": self.backbone_canvas.as_json(),
                "steps": self.backbone_steps,
                "images": self.backbone_images,
            },
            "images": {"train": self.train_images, "val": self.val_images, "seed": self.data_seed},
            "model": self.model_fields(),
            "focus_images": self.focus_images,
        }


def small_canvas_settings() -> Settings:
    """The second canvas, where DETR is less far behind: 64 px, one or two objects. Rates are those of the first."""
    canvas = drawn_canvas(64, 2)
    model = {**Settings().model, "num_queries": 10}
    seeds = {"deformable": (11, 12, 13, 14, 15), "detr-16": (11, 12, 13, 14, 15), "detr-8": (11, 12, 13)}
    return Settings(canvas=canvas, val_images=1200, model=model, seeds=seeds)


def quick_settings() -> Settings:
    """A minute only: everything runs, little is learned."""
    return Settings(
        canvas=drawn_canvas(64, 2), backbone_steps=2, backbone_images=16, train_images=32, val_images=7,
        search_epochs={"deformable": 1, "detr": 1}, epochs={"deformable": 1, "detr": 2},
        eval_every={"deformable": 1, "detr": 1}, search_seeds=(101,), rates=dict.fromkeys(MODELS, (5e-4, 1e-3)),
        seeds={"deformable": (11, 12), "detr-16": (11, 12), "detr-8": (11,)}, focus_images=3,
        model={**Settings().model, "d_model": 32, "d_ffn": 32, "num_queries": 9},
    )  # fmt: skip


def kind(model: str) -> str:
    """ "detr" or "deformable": what schedule and budget depend on."""
    return "detr" if model in DETR else "deformable"


@dataclass(frozen=True)
class Run:
    """One training of one model."""

    stage: str  # "search" or "final"
    model: str  # a key of VARIANTS
    lr: float
    seed: int
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.model}-lr{self.lr:g}-seed{self.seed}"

    def train_config(self, settings: Settings) -> TrainConfig:
        """As published, but for rate and warm-up: a tenth of the rate after four fifths of the epochs, clipped at 0.1.

        While rates are searched there is no drop: one run's should not look better because its rate came down.
        """
        of_kind = kind(self.model)
        return TrainConfig(
            epochs=self.epochs,
            batch_size=settings.batch_size,
            lr=self.lr,
            backbone_lr_factor=1.0,  # what an FPN would train; the backbone itself is stored
            warmup_steps=settings.warmup[of_kind],
            drop_epoch=self.epochs if self.stage == "search" else None,
            seed=self.seed,
            eval_every=settings.eval_every[of_kind],
        )


def search_runs(settings: Settings, models: Iterable[str]) -> list[Run]:
    """Every candidate rate for each of `models`, with every seed of the search."""
    return [
        Run("search", model, lr, seed, settings.search_epochs[kind(model)])
        for model in models
        for lr in settings.rates[model]
        for seed in settings.search_seeds
    ]


def final_runs(settings: Settings, rates: dict[str, float]) -> list[Run]:
    """Every seed for every model of `rates` that the settings have seeds for, each model at its own rate.

    Seed by seed, so that an interrupted study has as many of one model as of another.
    """
    seeds = {model: settings.seeds.get(model, ()) for model in rates}
    return [
        Run("final", model, rates[model], numbers[place], settings.epochs[kind(model)])
        for place in range(max(map(len, seeds.values())))
        for model, numbers in seeds.items()
        if place < len(numbers)
    ]


def best_rates(results: Iterable[dict[str, Any]]) -> dict[str, float]:
    """For every model the rate whose worst seed ended its search with the highest AP; of equal ones the lower rate.

    By AP and not by the loss: a DETR whose loss has fallen can still be on its plateau, and one seed may be lucky.
    """
    reached: dict[str, dict[float, list[float]]] = {}
    for result in results:
        run = result["run"]
        if run["stage"] == "search":
            reached.setdefault(run["model"], {}).setdefault(run["lr"], []).append(result["epochs"][-1]["AP"] or 0.0)
    return {model: max(sorted(found), key=lambda lr: min(found[lr])) for model, found in reached.items()}


def ablation_runs(settings: Settings, lr: float, variants: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """Every variant with every seed, all at the rate of the model that they change."""
    return [Run("final", variant, lr, seed, settings.epochs["deformable"]) for seed in seeds for variant in variants]


def as_record(run: Run) -> dict[str, Any]:
    """The run as its file names it. Raises ValueError for a model that is none of VARIANTS."""
    if run.model not in VARIANTS:
        raise ValueError(f"there is no variant {run.model!r}; choose from {', '.join(VARIANTS)}")
    return asdict(run)
