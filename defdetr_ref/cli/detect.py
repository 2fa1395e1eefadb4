"""Find objects in pictures: draws the boxes and lists them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from defdetr_ref import checkpoints, zoo
from defdetr_ref.cli import common
from defdetr_ref.cli.exports import Detected, as_coco, as_label_studio
from defdetr_ref.cli.lettering import font, name_of
from defdetr_ref.data.pictures import UPRIGHT, read_picture
from defdetr_ref.export.onnx_detector import OnnxDetector
from defdetr_ref.inference import evaluation_mode, postprocess

DEFAULT = zoo.PREFIX + "shapes"
EXPORTS = {"coco": "coco.json", "label-studio": "label_studio.json"}  # --also, and the file that it writes
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#f032e6", "#9a6324", "#808000", "#000075")
LETTERS = 11  # px, of names in pictures


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr detect`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--checkpoint", metavar="FILE", help=f"or zoo:NAME (default {DEFAULT})")
    source.add_argument("--onnx", metavar="FILE", help="instead: a file of defdetr export, run by ONNX Runtime")
    parser.add_argument("--threshold", type=float, default=0.3, help="lowest score to show (default %(default)s)")
    parser.add_argument("--out", default="detections", metavar="FOLDER", help="for the pictures (default %(default)s)")
    parser.add_argument(
        "--also",
        nargs="+",
        default=[],
        choices=tuple(EXPORTS),
        help="write the boxes as COCO's json (coco.json) or as tasks with predictions (label_studio.json), too",
    )
    common.add_device_option(parser)


def run(args: argparse.Namespace) -> None:
    """For each picture print its boxes; write NAME.boxes.png for each, and detections.json and what --also asks for
    for all of them."""
    if not 0 <= args.threshold <= 1:
        raise ValueError(f"--threshold {args.threshold}: scores lie between 0 and 1")
    model, notes = open_detector(args)
    names, transform = notes.get("categories", {}), common.eval_transform(notes.get("resize", "paper"))
    paths = [Path(image) for image in args.images]
    pictures = [open_picture(path) for path in paths]
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    found: list[Detected] = []
    for path, picture, name in zip(paths, pictures, output_names(paths), strict=True):
        if doubt := common.doubt_about_size(notes, (picture.height, picture.width)):
            print(f"note: {path}: {doubt}")
        detections = [{"image": str(path), **one} for one in predict(model, picture, transform, names, args.threshold)]
        draw(picture, detections).save(out / name)
        print(
            "\n".join(f"{path}: {format_detection(one)}" for one in detections)
            or f"{path}: nothing above {args.threshold}"
        )
        found.append(Detected(path, picture.width, picture.height, detections))
    common.write_json(out / "detections.json", [row for one in found for row in one.rows])
    tasks_from = args.onnx or args.checkpoint or DEFAULT
    for name in dict.fromkeys(args.also):
        content = as_coco(found, names) if name == "coco" else as_label_studio(found, tasks_from)
        common.write_json(out / EXPORTS[name], content)


def open_detector(args: argparse.Namespace) -> tuple[nn.Module, dict[str, Any]]:
    """The model that the options name, on its device, and the notes beside its weights."""
    if args.onnx:
        if args.device == "cuda":
            raise ValueError(
                "--device cuda: an ONNX file runs on the CPU here; leave --device out, or use --checkpoint"
            )
        model = OnnxDetector(args.onnx)
        return model, model.notes
    weights = zoo.path_of(args.checkpoint or DEFAULT)
    if not weights.exists():  # a file, or a folder of transformers
        raise FileNotFoundError(
            f"there is no checkpoint {weights}; train one with `defdetr demo`, or leave --checkpoint out: then the "
            "zoo's detector of drawn shapes is taken"
        )
    model, notes = checkpoints.read_model(weights)
    return model.to(common.pick_device(args.device)), notes


def open_picture(path: Path) -> Image.Image:
    """A picture as RGB, upright; says if it was turned. Raises FileNotFoundError, or ValueError if it is no picture."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture {path}")
    picture, orientation = read_picture(path)
    if orientation != UPRIGHT:
        print(f"{path}: turned upright, as its EXIF orientation {orientation} asks; boxes refer to it so")
    return picture


def predict(
    model: nn.Module, picture: Image.Image, transform: Callable, names: dict[int, str], threshold: float
) -> list[dict[str, Any]]:
    """The boxes with a score of at least `threshold`, best first: score, label, category's name, box xyxy in pixels."""
    size = (picture.height, picture.width)
    target = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.long),
        "image_id": 0,
        "size": size,
    }
    image, _ = transform(picture, target, np.random.default_rng(0))
    with evaluation_mode(model):
        outputs = model(image[None].to(next(model.parameters(), image).device))  # a file has no parameters
    detections = postprocess(outputs, [size])[0]
    return [
        {"score": score, "label": label, "category": names.get(label, str(label)), "box": box}
        for score, label, box in zip(
            detections["scores"].tolist(), detections["labels"].tolist(), detections["boxes"].tolist(), strict=True
        )
        if score >= threshold
    ]


def format_detection(one: dict[str, Any]) -> str:
    """One detection as text: name, score, corners in pixels."""
    left, top, right, bottom = (round(edge) for edge in one["box"])
    return f"{one['category']} {one['score']:.2f} at ({left}, {top})–({right}, {bottom})"


def draw(picture: Image.Image, detections: list[dict[str, Any]]) -> Image.Image:
    """A copy of the picture with the boxes, the best on top, each category in its colour."""
    copy = picture.copy()
    pencil = ImageDraw.Draw(copy)
    letters = font(LETTERS)
    for one in reversed(detections):
        left, top, right, bottom = one["box"]
        colour = COLOURS[one["label"] % len(COLOURS)]
        pencil.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=2)
        text = f"{name_of(one['category'], one['label'])} {one['score']:.2f}"
        place = pencil.textbbox((max(left, 0), max(top, 0)), text, font=letters)
        pencil.rectangle(place, fill=colour)
        pencil.text(place[:2], text, fill="white", font=letters, anchor="lt")
    return copy


def output_names(paths: list[Path]) -> list[str]:
    """NAME.boxes.png for each picture, which is never a picture's own name; NAME.2.boxes.png for a second NAME."""
    names: list[str] = []
    for path in paths:
        name, number = f"{path.stem}.boxes.png", 1
        while name in names:
            number += 1
            name = f"{path.stem}.{number}.boxes.png"
        names.append(name)
    return names
