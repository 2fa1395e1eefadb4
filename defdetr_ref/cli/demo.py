"""Draw data, train for some minutes, and write a page that shows what the model has learned."""

import argparse

from defdetr_ref.cli.draw import SETS


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr demo`."""
    parser.add_argument("--data", choices=SETS, default="shapes", help="what to draw (default %(default)s)")
    parser.add_argument("--out", default="runs/demo", metavar="FOLDER", help="where it goes (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a minute only: everything runs, little is learned")


def run(args: argparse.Namespace) -> None:
    """Run the demo; it says which page to open."""
    from defdetr_ref.demo import run as demo  # brings matplotlib, pycocotools and the data sets

    demo.run(args.out, data=args.data, seed=args.seed, quick=args.quick)
