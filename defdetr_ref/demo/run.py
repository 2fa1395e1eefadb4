"""The whole story in one command: draw a data set, train a small detector, judge it, and show what it does.

    run("runs/demo")        then open runs/demo/index.html

| file                                  | holds                                                          |
|---------------------------------------|----------------------------------------------------------------|
| index.html                            | the report, opens from disk                                    |
| predictions.png, shipped.png,         | its pictures; "shipped" is of the detector that comes with the |
| attention.png, refinement.png,        | package, trained for much longer, if there is one for the data |
| curves.png                            |                                                                |
| explorer.html                         | every query of three images, to click through                  |
| metrics.json                          | the twelve metrics, settings, versions, seconds of every part  |
| config.json, metrics.jsonl, last.pt … | the training run, see `defdetr_ref.training`                   |

Called again on the same folder, it goes on where it stopped.
"""

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from defdetr_ref import zoo
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.drawn_sets import DRAWN_SETS
from defdetr_ref.demo.page import EmbeddedSection, PictureSection
from defdetr_ref.demo.report import EXPLORER_TEXT, PICTURE_TEXTS, SCORE_THRESHOLD, duration, write_report
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.evaluation import evaluate, jsonable
from defdetr_ref.explain import explain_objects, plot_curves, plot_predictions, save_explorer
from defdetr_ref.inference import evaluation_mode, postprocess
from defdetr_ref.provenance import machine, versions
from defdetr_ref.training import TrainConfig, train
from defdetr_ref.zoo.cards import percent
from defdetr_ref.zoo.recipes import schedule

DATA_SEED = 0  # everyone judges on the same images, whatever the seed of the training

PICTURED_IMAGES = 6
EXPLAINED_OBJECTS = 3
EXPLORED_IMAGES = 3
DOTS_PER_INCH = 150


def demo_train_config(data: str = "shapes", seed: int = 0, quick: bool = False) -> TrainConfig:
    """How the demo trains: as the zoo does, for minutes only. The backbone starts from random weights."""
    if quick:
        return TrainConfig(epochs=1, batch_size=4, backbone_lr_factor=1.0, seed=seed)
    return schedule(10, ema_decay=0.998, eval_every=4, seed=seed)


def demo_model_config(num_classes: int, quick: bool = False) -> DeformableDETRConfig:
    """The `compact` preset; with `quick`, as little of it as still has every part."""
    smallest = {"d_model": 32, "d_ffn": 64, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 10}
    return DeformableDETRConfig.preset("compact", num_classes=num_classes, **(smallest if quick else {}))


def demo_image_counts(quick: bool = False) -> dict[str, int]:
    """How many images: "train" are drawn for each epoch, "val" to judge on."""
    return {"train": 8, "val": 6} if quick else {"train": 2000, "val": 500}


def run(
    out: str | Path = "runs/demo",
    data: str = "shapes",
    seed: int = 0,
    quick: bool = False,
    data_folder: str | Path | None = None,
) -> Path:
    """Draw, train, evaluate and explain; returns the path of the report, `out`/index.html.

    data: "shapes" or "digits". data_folder: where the images are drawn to, or lie already; data/<name>-demo by default.
    seed: of the training. quick: a few images and one epoch, to see that everything works; the detector is useless.

    Raises ValueError for an unknown `data`, and if `out` holds a run that was started with other settings.
    """
    if data not in DRAWN_SETS:
        raise ValueError(f"demo: data is {data!r}; choose {' or '.join(DRAWN_SETS)}")
    out = Path(out)
    folder = Path(data_folder or Path("data") / f"{data}-{'quick' if quick else 'demo'}")
    seconds: dict[str, float] = {}

    counts = demo_image_counts(quick)
    with _step(1, f"draw {counts['val']} images of {data} to judge on, into {folder}", seconds, "draw"):
        paths = DRAWN_SETS[data].write(folder, train=1, val=counts["val"], seed=DATA_SEED, progress=not quick)
        val_set = CocoDetection(paths["val_images"], paths["val_annotations"], cache=True)
    train_set = DRAWN_SETS[data].training_images(images=counts["train"], seed=seed)
    torch.manual_seed(seed)
    model = DeformableDETR(demo_model_config(max(train_set.categories) + 1, quick)).to(_device())
    config = demo_train_config(data, seed, quick)

    resume = (out / "config.json").exists()
    if resume:
        _require_same_model(out, model.config)
    epochs = f"{config.epochs} epoch{'s' if config.epochs > 1 else ''}"
    story = f"train {_parameter_count(model) / 1e6:.1f} million parameters, {epochs} of {len(train_set)} new images"
    with _step(2, story + (f"; going on with the run in {out}" if resume else ""), seconds, "train"):
        rows = train(model, train_set, out, config, val_set=val_set, resume=resume, progress=not quick)["metrics"]
    seconds["train"] = sum(row["seconds"] for row in rows)  # of all calls, where the run was interrupted

    with _step(3, f"evaluate on {len(val_set)} images it has not seen", seconds, "evaluate"):
        metrics = jsonable(evaluate(model, val_set, batch_size=config.batch_size, progress=not quick))
        shipped, comparison = None, {}
        if data in zoo.names():
            shipped, steps = zoo.load(data), zoo.card(data)["steps"]
            judged = jsonable(evaluate(shipped, val_set, batch_size=config.batch_size, progress=not quick))
            comparison = {"shipped": {"name": data, "steps": steps, "metrics": judged}}
    with _step(4, "draw the pictures", seconds, "pictures"):
        pictures = draw_pictures(model, val_set, rows, out, shipped)

    settings = {"data": data, "seed": seed, "quick": quick, "images": counts}
    report = {**_report(metrics, settings, model, config, seconds), **comparison}
    (out / "metrics.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8", newline="\n")
    page = write_report(out, report, pictures)
    print(f"AP {percent(metrics['AP'])}, AP50 {percent(metrics['AP50'])}; open {page}")
    return page


def _require_same_model(out: Path, config: DeformableDETRConfig) -> None:
    """Raises ValueError if the run in `out` trains another model: of other data, or a quick one."""
    saved = json.loads((out / "config.json").read_text(encoding="utf-8"))["model"]
    before = {**dataclasses.asdict(DeformableDETRConfig()), **saved}  # an older file lacks fields that came later
    now = json.loads(json.dumps(dataclasses.asdict(config)))  # lists for tuples, as in the file
    changed = {name: value for name, value in now.items() if before.get(name) != value}
    differing = [f"{name} is {before.get(name)}, not {value}" for name, value in changed.items()]
    if differing:
        raise ValueError(f"{out} holds the run of another model ({', '.join(differing)}); choose another folder")


def _report(
    metrics: dict[str, float | None],
    settings: dict[str, Any],
    model: DeformableDETR,
    config: TrainConfig,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """What metrics.json holds: the metrics, and everything that somebody needs who gets other ones."""
    return {
        **metrics,
        "settings": {**settings, "model": dataclasses.asdict(model.config), "train": dataclasses.asdict(config)},
        "parameters": _parameter_count(model),
        "seconds": {part: round(value, 2) for part, value in seconds.items()},
        "machine": machine(_device()),
        "versions": versions(),
    }


@contextmanager
def _step(number: int, what: str, seconds: dict[str, float], part: str) -> Iterator[None]:
    """Say what happens, and how long it took."""
    print(f"[{number}/4] {what} …", flush=True)
    start = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - start
    print(f"      {duration(seconds[part])}", flush=True)


def draw_pictures(
    model: DeformableDETR,
    val_set: CocoDetection,
    rows: list[dict[str, Any]],
    out: Path,
    shipped: nn.Module | None = None,
) -> list[PictureSection]:
    """Write the pictures and the explorer into `out`; returns their sections of the report.

    model: the demo's.
    val_set: whose first images are shown.
    rows: the records of the training's epochs.
    out: the folder.
    shipped: a detector that was trained for longer, to be shown beside it.
    """
    with evaluation_mode(model):
        figures = {
            "predictions": _predictions(model, val_set),
            **({} if shipped is None else {"shipped": _predictions(shipped, val_set)}),
            **_explained(model, val_set),
            "curves": plot_curves(rows),
        }
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=DOTS_PER_INCH)
    samples = _first_samples(val_set, EXPLORED_IMAGES, least_objects=EXPLAINED_OBJECTS)
    save_explorer(out / "explorer.html", model, [image for image, _ in samples], categories=val_set.categories)
    sections = [PictureSection(*PICTURE_TEXTS[name], f"{name}.png") for name in figures]
    return [*sections, EmbeddedSection(*EXPLORER_TEXT, "explorer.html")]


def _predictions(model: nn.Module, val_set: CocoDetection) -> Figure:
    """Truth beside predictions for the first images that hold an object."""
    samples = _first_samples(val_set, PICTURED_IMAGES, least_objects=1)
    images, targets = [image for image, _ in samples], [target for _, target in samples]
    detections, device = [], next(model.parameters()).device
    for image, target in samples:
        detections += postprocess(model(image[None].to(device)), [target["size"]])
    return plot_predictions(images, targets, detections, val_set.categories, score_threshold=SCORE_THRESHOLD)


def _explained(model: DeformableDETR, val_set: CocoDetection) -> dict[str, Figure]:
    """Attention and refinement in one image. It is not picked by hand: it is the first one with enough objects."""
    ((image, target),) = _first_samples(val_set, 1, least_objects=EXPLAINED_OBJECTS)
    return explain_objects(model, image, target, val_set.categories, count=EXPLAINED_OBJECTS)


def _first_samples(dataset: CocoDetection, count: int, least_objects: int) -> list:
    """The first `count` samples with that many objects; where there are too few, those with the most objects."""
    samples = []
    for index in range(len(dataset)):
        if len(dataset[index][1]["labels"]) >= least_objects:
            samples.append(dataset[index])
        if len(samples) == count:
            return samples
    every = [dataset[index] for index in range(len(dataset))]
    return sorted(every, key=lambda sample: -len(sample[1]["labels"]))[:count]


def _parameter_count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
