"""Draw a small data set in COCO's format."""

import argparse
from dataclasses import replace

SETS = ("shapes", "digits")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr draw`."""
    parser.add_argument("set", choices=SETS, help="coloured shapes, or handwritten digits on photographs")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="a new folder, or one with this very set")
    parser.add_argument("--train", type=int, default=2000, metavar="N", help="images to train on (default %(default)s)")
    parser.add_argument("--val", type=int, default=500, metavar="N", help="images to evaluate on (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another set (default %(default)s)")
    parser.add_argument("--size", type=int, default=128, metavar="PX", help="side of an image (default %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Draw the set and say where it is."""
    if args.set == "shapes":
        from defdetr_ref.data.shapes import ShapesConfig as Config
        from defdetr_ref.data.shapes import write_shapes as write
    else:
        from defdetr_ref.data.digits import DigitsConfig as Config
        from defdetr_ref.data.digits import write_digits as write
    default = Config()
    scale = args.size / max(default.size)
    config = replace(default, image_size=args.size, max_side=max(default.min_side, default.max_side * scale))
    paths = write(args.out, config, train=args.train, val=args.val, seed=args.seed)
    print(f"{args.train} + {args.val} images in {paths['folder']}")
