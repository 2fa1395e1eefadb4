"""Train a detector on a drawn set or on COCO.

Every field of TrainConfig is an option, and `--set` reaches every field of the model's config.
"""

import argparse
import ast
import dataclasses
import json
import os
import typing
from pathlib import Path
from typing import Any

import torch
from torch import nn

from defdetr_ref import checkpoints, zoo
from defdetr_ref.backbone import ResNet50, load_imagenet
from defdetr_ref.cli import common
from defdetr_ref.config import PRESETS, DeformableDETRConfig
from defdetr_ref.evaluation import METRICS, table
from defdetr_ref.training import TrainConfig, notes_of, train

TINY_BATCH = 16  # the paper's 32 is for COCO; small sets and few epochs need more, smaller steps


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr train`."""
    common.add_data_options(parser)
    parser.add_argument("--val-images", metavar="DIR", help="with --images: images to evaluate on")
    parser.add_argument("--val-annotations", metavar="FILE", help="and their COCO json")
    parser.add_argument("--augment", choices=("none", "flip", "paper"), help="default: flip on drawn sets, else paper")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the run's folder, such as runs/first")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="tiny", help="the model (default %(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="change fields of the preset")
    parser.add_argument("--dense", action="store_true", help="DETR's dense attention instead of the deformable one")
    parser.add_argument("--init", metavar="CHECKPOINT", help="start from these weights and their config; zoo:NAME too")
    parser.add_argument(
        "--backbone-weights", metavar="FILE", help="ResNet-50 of ImageNet; 'none': random (default: download)"
    )
    common.add_device_option(parser)
    add_train_config_options(parser)


def add_train_config_options(parser: argparse.ArgumentParser) -> None:
    """One option for each field of TrainConfig that has none yet; None means not given."""
    hints = typing.get_type_hints(TrainConfig)
    for field in dataclasses.fields(TrainConfig):
        kind = next(one for one in (*typing.get_args(hints[field.name]), hints[field.name]) if one is not type(None))
        if field.name != "num_workers":
            parser.add_argument("--" + field.name.replace("_", "-"), type=kind, help=f"default {field.default}")


def run(args: argparse.Namespace) -> None:
    """Train, and print the figures of the last epoch."""
    device = common.pick_device(args.device)
    config = train_config(args)
    files, val_files = common.split_files(args, "train"), validation_files(args)
    train_set = common.load_dataset(files, args, seed=config.seed)
    train_set.transform = common.train_transform(args.augment, train_set)
    torch.manual_seed(config.seed)  # of the first weights
    model = build_model(args, 1 + max(train_set.categories)).to(device)
    common.require_classes(train_set, files, model.config.num_classes)

    val_set = common.load_dataset(val_files, args) if val_files else None
    if val_set is not None:
        common.require_classes(val_set, val_files, model.config.num_classes)
        val_set.transform = common.eval_transform(notes_of(train_set)["resize"])
    result = train(model, train_set, args.out, config, val_set=val_set, resume=args.resume)
    if os.environ.get("RANK", "0") == "0":
        report(result)


def report(result: dict[str, Any]) -> None:
    """Print where the weights are and, if it was evaluated, how good the last epoch was."""
    last = result["metrics"][-1] if result["metrics"] else {}
    if "AP" in last:
        print(table({name: float("nan") if last[name] is None else last[name] for name in METRICS}))
    print(f"weights in {result['checkpoint']}")


def validation_files(args: argparse.Namespace) -> tuple[Path, Path] | None:
    """(images, annotations) to evaluate on, None if there are none. Raises ValueError if only one of them is given."""
    if bool(args.val_images) != bool(args.val_annotations):
        raise ValueError("--val-images and --val-annotations belong together; give both or none")
    if args.val_images:
        return Path(args.val_images), Path(args.val_annotations)
    return common.split_files(args, "val") if args.data else None


def train_config(args: argparse.Namespace) -> TrainConfig:
    """What the options say; what they leave open is taken from the run that is resumed, or suits the model."""
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.resume and (Path(args.out) / "config.json").is_file():
        before = json.loads((Path(args.out) / "config.json").read_text(encoding="utf-8"))["train"]
        return TrainConfig(**{**before, **given})
    defaults: dict[str, Any] = {}
    if args.preset == "tiny" and not args.init:
        defaults = {"batch_size": TINY_BATCH, "backbone_lr_factor": 1.0}  # its backbone starts from random weights
    return TrainConfig(**{**defaults, **given})


def build_model(args: argparse.Namespace, num_classes: int) -> nn.Module:
    """The model of the run that is resumed, of --init, or a new one for `num_classes` (the largest category id + 1)."""
    last = Path(args.out) / "last.pt"
    if args.resume and last.is_file():
        return checkpoints.build_model(last)
    if args.init:
        return checkpoints.build_model(zoo.path_of(args.init))
    config = DeformableDETRConfig.preset(args.preset, **{"num_classes": num_classes, **overrides(args.set)})
    if args.dense:
        from defdetr_ref.dense import DetrBaseline as Detector
    else:
        from defdetr_ref.detector import DeformableDETR as Detector
    model = Detector(config)
    if isinstance(model.backbone, ResNet50) and args.backbone_weights != "none":
        load_imagenet(model.backbone, args.backbone_weights)
    elif args.backbone_weights not in (None, "none"):
        raise ValueError(f"--backbone-weights: the preset {args.preset} has a small backbone of its own; leave it out")
    return model


def overrides(assignments: list[str]) -> dict[str, Any]:
    """["num_queries=20", "backbone=small"] as a dict. Values are Python's; what is none of those is a string."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        field, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"--set {assignment}: write it as FIELD=VALUE, such as num_queries=100")
        try:
            values[field] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[field] = value
    return values
