"""Train a detector on a drawn set or on COCO.

Every field of TrainConfig is an option, and `--set` reaches every field of the model's config.
"""

import argparse
import ast
import dataclasses
import typing
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from defdetr_ref import checkpoints, zoo
from defdetr_ref.backbone import ResNet50, load_imagenet
from defdetr_ref.cli import common
from defdetr_ref.config import PRESETS, DeformableDETRConfig
from defdetr_ref.data.annotations import different_names
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.evaluation import METRICS, table
from defdetr_ref.training import FirstImages, TrainConfig, fine_tuning, notes_of, train
from defdetr_ref.training.run_folder import RunFolder

TINY_BATCH = 16  # the paper's 32 is for COCO; small sets and few epochs need more, smaller steps
# Options beside the two configs that change a run's numbers: a run that is resumed has them from its beginning.
RUN_OPTIONS = ("augment", "backbone_weights", "dense", "init", "overfit", "skip_bad_images")
# Each field of TrainConfig, by group.
CONFIG_HELP = {
    "training": {
        "epochs": "passes over the training images",
        "batch_size": "images of a step, over all processes; 16 with --preset tiny",
        "accumulate": "pass a step's images through in N equal parts, for less memory",
        "precision": "bf16: training steps in bfloat16 where that is safe; evaluation and weights stay in fp32",
        "lr": "learning rate",
        "backbone_lr_factor": "the backbone's share of it; 1 with --preset tiny",
        "lr_slow_factor": "the share of sampling offsets and reference points",
        "weight_decay": "of AdamW",
        "clip_norm": "longest gradient; 0: no limit",
        "schedule": "step: a tenth of the rate from --drop-epoch on; cosine: down to 0",
        "drop_epoch": "for --schedule step; default: after four fifths of the epochs",
        "warmup_steps": "the rate climbs over so many steps",
        "ema_decay": "evaluate and keep a running average of the weights, such as 0.999; default: none",
        "seed": "of first weights, order, augmentation and dropout",
    },
    "run": {
        "eval_every": "epochs between evaluations",
        "save_every": "minutes between saves within an epoch; 0: only after each epoch",
        "timeout": "under torchrun: minutes to wait for a process that does not answer",
    },
}
METAVARS = {"save_every": "MINUTES", "timeout": "MINUTES"}
CHOICES = {"precision": ("fp32", "bf16"), "schedule": ("step", "cosine")}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr train`."""
    data = common.add_data_options(parser)
    common.add_validation_options(data)
    data.add_argument("--augment", choices=("none", "flip", "paper"), help="default: flip on drawn sets, else paper")
    data.add_argument(
        "--overfit",
        type=int,
        metavar="N",
        help="train and evaluate on the first N training images, unaugmented: whatever learns at all learns them",
    )
    model = parser.add_argument_group("model")
    model.add_argument("--preset", choices=tuple(PRESETS), help="which one (default tiny)")
    model.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="change fields of the preset")
    model.add_argument("--dense", action="store_true", help="DETR's dense attention instead of the deformable one")
    model.add_argument(
        "--init",
        metavar="CHECKPOINT",
        help="start from these weights and their config, with other classes too; zoo:NAME is one",
    )
    model.add_argument(
        "--backbone-weights", metavar="FILE", help="ResNet-50 of ImageNet; none: random (default: download)"
    )
    training = parser.add_argument_group("training")
    run_group = parser.add_argument_group("run")
    run_group.add_argument("--out", required=True, metavar="FOLDER", help="the run's folder, such as runs/first")
    run_group.add_argument("--resume", action="store_true", help="go on with the run in --out")
    common.add_device_option(run_group)
    add_train_config_options({"training": training, "run": run_group})


def add_train_config_options(groups: dict[str, argparse._ArgumentGroup]) -> None:
    """One option for each field of TrainConfig that has none yet; None means not given."""
    hints = typing.get_type_hints(TrainConfig)
    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    for group, entries in CONFIG_HELP.items():
        for name, words in entries.items():
            kind = next(one for one in (*typing.get_args(hints[name]), hints[name]) if one is not type(None))
            default = defaults[name]
            shown = f"{default:g}" if isinstance(default, float) else str(default)
            groups[group].add_argument(
                "--" + name.replace("_", "-"),
                type=kind,
                choices=CHOICES.get(name),
                metavar=None if name in CHOICES else METAVARS.get(name, "N" if kind is int else "X"),
                help=words if default is None else f"{words} (default {shown})",
            )


def run(args: argparse.Namespace) -> None:
    """Train, and print the figures of the last epoch."""
    if args.overfit is not None and args.overfit < 1:
        raise ValueError(f"--overfit {args.overfit}: it must be at least 1")
    device = common.pick_device(args.device)
    before = run_before(args)
    options = {name: getattr(args, name) or before["options"].get(name, getattr(args, name)) for name in RUN_OPTIONS}
    vars(args).update(options)
    config = train_config(args, before["train"])
    files = common.split_files(args, "train")
    every_image = load_training_images(files, args, config.seed)
    train_set = FirstImages(every_image, args.overfit) if args.overfit else every_image
    torch.manual_seed(config.seed)  # of the first weights
    model = build_model(args, dict(train_set.categories), before["model"]).to(device)
    common.require_classes(every_image, files, model.config.num_classes)
    val_set = load_validation_images(args, files, train_set, model.config.num_classes)
    result = train(model, train_set, args.out, config, val_set=val_set, resume=args.resume, options=options)
    if common.is_main_process():
        report(result)


def run_before(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What the run that is resumed was started with, by section; empty for a new one."""
    folder = RunFolder(Path(args.out))
    stored = folder.read_config() if args.resume and folder.config.is_file() else {}
    return {section: stored.get(section) or {} for section in ("train", "model", "options")}


def load_training_images(files: tuple[Path, Path], args: argparse.Namespace, seed: int) -> CocoDetection:
    """The training set with its augmentation; none with --overfit, unless it is asked for."""
    train_set = common.load_dataset(files, args, seed=seed)
    augment = "none" if args.overfit and args.augment is None else args.augment
    train_set.transform = common.train_transform(augment, train_set)
    return train_set


def load_validation_images(
    args: argparse.Namespace, train_files: tuple[Path, Path], train_set: Dataset, num_classes: int
) -> Dataset | None:
    """What is evaluated on, shown as the training images are; None if nothing is."""
    files = train_files if args.overfit else validation_files(args)
    if files is None:
        return None
    val_set = common.load_dataset(files, args)
    common.require_classes(val_set, files, num_classes)
    differing = different_names(("the training images", train_set.categories), (str(files[1]), val_set.categories))
    if differing is not None:
        raise ValueError(differing)
    val_set.transform = common.eval_transform(notes_of(train_set)["resize"])
    return FirstImages(val_set, args.overfit) if args.overfit else val_set


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


def train_config(args: argparse.Namespace, before: dict[str, Any] | None = None) -> TrainConfig:
    """What the options say; what they leave open is as `before`, in the run that is resumed, or suits the model."""
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if before:
        return TrainConfig(**{**before, **given})
    defaults: dict[str, Any] = {}
    if args.preset in (None, "tiny") and not args.init:
        defaults = {"batch_size": TINY_BATCH, "backbone_lr_factor": 1.0}  # its backbone starts from random weights
    if args.overfit:
        defaults["batch_size"] = min(args.overfit, defaults.get("batch_size", TrainConfig.batch_size))
    return TrainConfig(**{**defaults, **given})


def build_model(args: argparse.Namespace, categories: dict[int, str], before: dict[str, Any]) -> nn.Module:
    """The model of the run that is resumed, of --init, or a new one.

    categories: id → name, of the data.
    before: the config of the run that is resumed; --preset and --set must not contradict it.
    """
    num_classes = 1 + max(categories)
    config = DeformableDETRConfig.preset(args.preset or "tiny", **{"num_classes": num_classes, **overrides(args.set)})
    if before:
        config = resumed_config(args, before)
        if RunFolder(Path(args.out)).last.is_file():
            return checkpoints.build_model(RunFolder(Path(args.out)).last)
    if args.init:
        return model_of_init(args, categories)
    if args.dense:
        from defdetr_ref.dense import DetrBaseline as Detector
    else:
        from defdetr_ref.detector import DeformableDETR as Detector
    model = Detector(config)
    if isinstance(model.backbone, ResNet50) and args.backbone_weights != "none":
        load_imagenet(model.backbone, args.backbone_weights)
    elif args.backbone_weights not in (None, "none"):
        raise ValueError("--backbone-weights: this model has a small backbone of its own; leave it out")
    return model


def resumed_config(args: argparse.Namespace, before: dict[str, Any]) -> DeformableDETRConfig:
    """The config of the run that is resumed. Raises ValueError if --preset or --set say something else."""
    preset = dataclasses.asdict(DeformableDETRConfig.preset(args.preset)) if args.preset else {}
    preset.pop("num_classes", None)  # the data decide
    config = DeformableDETRConfig.from_dict({**before, **preset, **overrides(args.set)})
    RunFolder(Path(args.out)).require_same({"model": dataclasses.asdict(config)})
    return config


def model_of_init(args: argparse.Namespace, categories: dict[int, str]) -> nn.Module:
    """The model of --init, with new class heads where the data have other classes; says what is taken over."""
    if args.preset or args.dense or args.backbone_weights:
        raise ValueError("--init brings its own model and weights; leave --preset, --dense and --backbone-weights out")
    source, notes = checkpoints.read_model(zoo.path_of(args.init))
    names = notes.get("categories", {})
    model, taken = fine_tuning.start_from(source, names, categories, overrides(args.set))
    if common.is_main_process():
        print(f"--init {args.init}: {taken.summary()}")
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
