"""What the demo's page says, in words and tables."""

from pathlib import Path
from typing import Any

from defdetr_ref.demo.page import PictureSection, write_page
from defdetr_ref.evaluation import METRICS
from defdetr_ref.zoo.cards import SHOWN, percent

SCORE_THRESHOLD = 0.3  # of the boxes that the page shows

PICTURE_TEXTS = {
    "predictions": (
        "What it finds",
        "Pairs of pictures: on the left what is really there, on the right every box that the detector gives a score "
        f"of at least {SCORE_THRESHOLD:g}. They are the first validation images, not the best ones. Nothing was "
        "suppressed or merged: the detector is trained to answer once for each object.",
    ),
    "shipped": (
        "What longer training finds",
        "The same images and the same kind of detector, but one that comes with the package and was trained for much "
        "longer (its numbers are above).",
    ),
    "attention": (
        "Where it looks",
        "One row for an object: a small one, a medium one and a large one. Every circle is a point that was read from "
        "the feature maps, of all heads and levels; the lighter it is, the more it counts. Left: one pixel (green "
        "cross) in the last layer of the encoder. Right: the object query that answers for the object, in the last "
        "layer of the decoder, with its box, enlarged. A good detector spreads the points over the object and to its "
        "edges.",
    ),
    "refinement": (
        "How a box is corrected",
        "The same three objects, a row for each, enlarged. At the start each query has the box that the encoder "
        "proposed; every decoder layer moves and resizes the box of the layer before. Dashed: the true box. The number "
        "is the overlap with it, intersection over union: 1 is perfect.",
    ),
    "curves": (
        "How it learned",
        "Left: the training loss by epoch, on a logarithmic axis. The total adds the terms of all decoder layers and "
        "of the proposals, weighted as in the paper; the others are those of the last layer. Right: average precision "
        "on the validation images, for all objects and by their size.",
    ),
}

EXPLORER_TEXT = (
    "Look for yourself",
    "Click into the picture, or use the arrow keys, to move the query: a pixel of the encoder or an object query of "
    "the decoder. The small pictures show which pixels of each level it reads.",
)


def write_report(out: Path, report: dict[str, Any], pictures: list[PictureSection]) -> Path:
    """Write `out`/index.html from what metrics.json holds and the sections of the pictures; returns its path."""
    settings, seconds, machine = report["settings"], report["seconds"], report["machine"]
    images = settings["images"]
    tables = {
        "Quality, %": {METRIC_NAMES.get(name, name): percent(report[name]) for name in METRICS},
        "Effort": {
            "parameters": f"{report['parameters']:,}",
            "new images in each epoch": f"{images['train']:,}",
            "epochs": str(settings["train"]["epochs"]),
            "batch size": str(settings["train"]["batch_size"]),
            "seed": str(settings["seed"]),
            "drawing the data": duration(seconds["draw"]),
            "training": duration(seconds["train"]),
            "evaluation": duration(seconds["evaluate"]),
            "pictures": duration(seconds["pictures"]),
            "CPU cores": str(machine["cpu_count"]),
            "device": machine["device"],
        },
    }
    if "shipped" in report:
        shipped = report["shipped"]
        tables["The one that ships, %"] = {
            **{METRIC_NAMES[name]: percent(shipped["metrics"][name]) for name in SHOWN},
            "training steps": f"{shipped['steps']:,}",
        }
    seen = settings["train"]["epochs"] * images["train"]
    lead = (
        f"A small Deformable DETR, trained from random weights on {seen:,} drawn images of {settings['data']} and "
        f"judged on {images['val']:,} others."
        + (" This was a quick run: everything works, but nothing was learned yet." if settings["quick"] else "")
    )
    tables_text = (
        "The twelve metrics of the COCO benchmark. AP, average precision, is the area under the curve of precision "
        "over recall, the mean over ten strictnesses of overlap; AR is the share of objects found. Higher is "
        "better, 100 is perfect. – stands for what these images do not define."
    )
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    page = out / "index.html"
    write_page(page, "Deformable DETR: the demo", lead, tables_text, tables, pictures, f"Made with {versions}.")
    return page


METRIC_NAMES = {
    "AP": "AP, overlap 0.50 to 0.95",
    "AP50": "AP at overlap 0.50",
    "AP75": "AP at overlap 0.75",
    "AP_small": "AP, small objects",
    "AP_medium": "AP, medium objects",
    "AP_large": "AP, large objects",
    "AR1": "AR with 1 box an image",
    "AR10": "AR with 10 boxes",
    "AR100": "AR with 100 boxes",
    "AR_small": "AR, small objects",
    "AR_medium": "AR, medium objects",
    "AR_large": "AR, large objects",
}


def duration(seconds: float) -> str:
    """ "38.2 s", "12 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
