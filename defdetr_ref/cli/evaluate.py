"""Print COCO's twelve metrics of a checkpoint."""

import argparse
from pathlib import Path

from defdetr_ref import checkpoints, zoo
from defdetr_ref.cli import common
from defdetr_ref.data.annotations import different_names
from defdetr_ref.evaluation import evaluate, jsonable, table


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr eval`."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="such as runs/first/best.pt, or zoo:shapes")
    common.add_data_options(parser)
    parser.add_argument("--split", choices=("train", "val"), default="val", help="of --data (default %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="(default %(default)s)")
    parser.add_argument("--out", metavar="FILE", help="also write the metrics as JSON")
    common.add_device_option(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate, print the table, write the file."""
    if args.batch_size < 1:
        raise ValueError(f"--batch-size {args.batch_size}: it must be at least 1")
    device = common.pick_device(args.device)
    files = common.split_files(args, args.split)
    model, notes = checkpoints.read_model(zoo.path_of(args.checkpoint))
    model = model.to(device)
    dataset = common.load_dataset(files, args)
    common.require_classes(dataset, files, model.config.num_classes)
    differing = different_names(("the checkpoint", notes.get("categories", {})), (str(files[1]), dataset.categories))
    if differing is not None:
        print(f"note: {differing}, or AP compares different things")
    if doubt := common.doubt_about_size(notes, dataset.image_size):
        print(f"note: {files[1]}: {doubt}")
    dataset.transform = common.eval_transform(notes.get("resize", "paper" if dataset.size_classes is None else "none"))
    metrics = evaluate(model, dataset, batch_size=args.batch_size, num_workers=args.num_workers)
    print(table(metrics))
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        common.write_json(Path(args.out), jsonable(metrics))
