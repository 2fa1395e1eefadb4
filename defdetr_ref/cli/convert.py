"""Write a checkpoint in the layout of other code: the published one's or Hugging Face's, or in ours."""

import argparse
from pathlib import Path

from defdetr_ref import checkpoints, zoo
from defdetr_ref.cli.train import overrides
from defdetr_ref.config import PRESETS, DeformableDETRConfig
from defdetr_ref.detector import DeformableDETR

# Of what our files hold beside weights; the rest is for training.
KEPT_NOTES = ("categories", "resize", "image_size", "epoch", "AP")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr convert`."""
    parser.add_argument("source", metavar="IN", help="a file in any layout, a folder of transformers, or zoo:NAME")
    parser.add_argument("out", metavar="OUT", help="a new file, or a folder for huggingface")
    parser.add_argument("--layout", choices=checkpoints.LAYOUTS, default="ours", help="of OUT (default %(default)s)")
    parser.add_argument("--preset", choices=tuple(PRESETS), help="the model, for a file that does not say which it is")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="change fields of the preset")


def run(args: argparse.Namespace) -> None:
    """Read, check, write, and say what was written."""
    if args.set and not args.preset:
        raise ValueError("--set changes fields of a preset; name it with --preset")
    if Path(args.out).exists():
        raise ValueError(f"{args.out} exists; name a new file or folder")
    source = zoo.path_of(args.source)
    if args.preset:
        model = DeformableDETR(DeformableDETRConfig.preset(args.preset, **overrides(args.set)))
        checkpoints.load(model, source)
        content = checkpoints.read(source)
    else:
        model, content = checkpoints.read_model(source)
    notes = {name: content[name] for name in KEPT_NOTES if name in content}
    checkpoints.save_as(model, args.out, layout=args.layout, **notes)
    print(f"{args.out}: {sum(one.numel() for one in model.state_dict().values()):,} numbers in {args.layout} layout")
