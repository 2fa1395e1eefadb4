"""List the trained detectors that come with the package, show how one was made, or make it again."""

import argparse
from pathlib import Path

from defdetr_ref import zoo
from defdetr_ref.zoo.cards import format_card, table

ACTIONS = ("list", "card", "train")
FOLDER = "runs/zoo"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr zoo`."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="(default %(default)s)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="for card and train: which detector")
    parser.add_argument("--out", default=FOLDER, metavar="FOLDER", help="for train: the run (default %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Do what was asked for. A training that was interrupted goes on."""
    if args.action == "list":
        if args.name is not None:
            raise ValueError(f"zoo list takes no name; for {args.name} alone: defdetr zoo card {args.name}")
        print(table([zoo.card(name) for name in zoo.names()]))
        return
    if args.name is None:
        raise ValueError(f"zoo {args.action}: which one? write one of {', '.join(zoo.names())} behind it")
    if args.action == "card":
        print(format_card(zoo.card(args.name)))
        return
    from defdetr_ref.zoo.training import train_detector  # brings the data sets, the training loop and pycocotools

    print(f"weights in {train_detector(args.name, Path(args.out))}; the card beside them says how good they are")
