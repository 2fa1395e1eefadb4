"""Options that several commands share, and what they mean."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from defdetr_ref.data.annotations import check_classes
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.transforms import EvalTransform, PaperTrainTransform, PlainTransform
from defdetr_ref.data.writing import set_paths
from defdetr_ref.preparation import sides_of


def add_device_option(parser: argparse._ActionsContainer) -> None:
    """--device"""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one (default auto)"
    )


def pick_device(name: str) -> torch.device:
    """The device called `name`; under torchrun, this process's GPU. Raises ValueError if there is no GPU."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch finds no CUDA GPU on this machine; use --device cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def is_main_process() -> bool:
    """Whether this is the one of torchrun's processes that talks; without torchrun it is."""
    return os.environ.get("RANK", "0") == "0"


def add_data_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Where images and annotations are: a drawn set, or COCO's layout. Returns the group of these options."""
    parser = parser.add_argument_group("data")
    add_place_options(parser)
    parser.add_argument("--skip-bad-images", action="store_true", help="leave damaged images out instead of stopping")
    add_follow_links_option(parser)
    parser.add_argument(
        "--num-workers",
        type=int,
        default=0,
        metavar="N",
        help="processes that load images (default 0)",
    )
    return parser


def add_place_options(parser: argparse._ActionsContainer) -> None:
    """--data, or --images and --annotations"""
    parser.add_argument("--data", metavar="FOLDER", help="a drawn set: train.json, train/, val.json, val/")
    parser.add_argument("--images", metavar="DIR", help="instead of --data: the folder of the images")
    parser.add_argument("--annotations", metavar="FILE", help="and their COCO json")


def add_validation_options(parser: argparse._ActionsContainer) -> None:
    """--val-images and --val-annotations"""
    parser.add_argument("--val-images", metavar="DIR", help="with --images: images to evaluate on")
    parser.add_argument("--val-annotations", metavar="FILE", help="and their COCO json")


def add_follow_links_option(parser: argparse._ActionsContainer) -> None:
    """--follow-links"""
    parser.add_argument("--follow-links", action="store_true", help="read images that symbolic links put elsewhere")


def write_json(path: Path, content: Any) -> None:
    """As text that people can read, too."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")


def split_files(args: argparse.Namespace, split: str) -> tuple[Path, Path]:
    """(folder of images, annotations) of a split. Raises ValueError unless the options name exactly one place."""
    if args.data and (args.images or args.annotations):
        raise ValueError("give either --data or --images and --annotations, not both")
    if args.data:
        if not Path(args.data).is_dir():
            raise FileNotFoundError(
                f"--data {args.data} is not a folder; draw one with: defdetr draw shapes --out {args.data}"
            )
        paths = set_paths(args.data)
        return paths[f"{split}_images"], paths[f"{split}_annotations"]
    if not (args.images and args.annotations):
        raise ValueError("say where the data are: --data FOLDER, or --images DIR and --annotations FILE")
    return Path(args.images), Path(args.annotations)


def load_dataset(files: tuple[Path, Path], args: argparse.Namespace, seed: int = 0) -> CocoDetection:
    """The data set in `files` = (folder of images, annotations), without a transform as yet."""
    images, annotations = files
    how = {"skip_bad_images": args.skip_bad_images, "follow_links": args.follow_links}
    dataset = CocoDetection(images, annotations, seed=seed, **how)
    for name, why in dataset.skipped:
        print(f"left out {name}: {why}")
    if not dataset.categories:
        raise ValueError(f"{annotations} lists no categories, so there is nothing to detect")
    return dataset


def require_classes(dataset: CocoDetection, files: tuple[Path, Path], num_classes: int) -> None:
    """Raises ValueError if the data have a category that a model with `num_classes` cannot say."""
    check_classes(dataset.categories, files[1], num_classes)


def train_transform(augment: str | None, dataset: CocoDetection) -> PlainTransform | PaperTrainTransform:
    """What --augment means. By default the paper's, but for a set drawn by `defdetr draw`, whose images are small,
    flips only; and not even those if its objects would be wrong when mirrored.
    """
    drawn = dataset.size_classes is not None
    if augment == "paper" or (augment is None and not drawn):
        return PaperTrainTransform()
    return PlainTransform(flip=augment == "flip" or (augment is None and may_be_mirrored(dataset)))


def may_be_mirrored(dataset: CocoDetection) -> bool:
    """What the set's info says under "flip"; if it says nothing, True unless its categories are digits."""
    return dataset.info.get("flip", not any(name.isdigit() for name in dataset.categories.values()))


def doubt_about_size(notes: Mapping[str, Any], size: tuple[int, int] | None) -> str | None:
    """One sentence if a model was trained on images of one size and is shown another as it is; None if not.

    A box is told in parts of the image, and a detector that has seen one size takes every image to be as large.

    notes: of the model's checkpoint. size: (height, width) of the image, or None for images of several sizes.
    """
    known = notes.get("image_size")
    if not isinstance(known, list) or len(known) != 2 or notes.get("resize") != "none" or size == tuple(known):
        return None
    found = "these have several sizes" if size is None else f"this is {size[1]}×{size[0]}"
    return (
        f"the detector was trained on images of {known[1]}×{known[0]} px alone, and {found}: its boxes may be too "
        "large or too small; scale the image"
    )


def eval_transform(resize: Any) -> PlainTransform | EvalTransform:
    """For a model whose checkpoint has this note "resize" (see `preparation.sides_of`, which raises ValueError)."""
    sides = sides_of(resize)
    return PlainTransform() if sides is None else EvalTransform(*sides)
