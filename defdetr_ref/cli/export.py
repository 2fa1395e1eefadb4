"""Write a detector as an ONNX file, which runs without PyTorch; it is run and compared before it is written."""

import argparse
from pathlib import Path

from defdetr_ref import checkpoints, zoo
from defdetr_ref.export import PRECISIONS, SAMPLINGS, export_onnx

FORMATS = ("onnx",)
KEPT_NOTES = ("categories", "resize", "image_size")  # what `defdetr detect` needs


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr export`."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file in any layout, a folder, or zoo:NAME")
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="(default %(default)s)")
    parser.add_argument("--out", metavar="FILE", help="default: the checkpoint's name with .onnx, in this folder")
    parser.add_argument("--with-points", action="store_true", help="also give where every layer looked, and its boxes")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of weights (default %(default)s)")
    parser.add_argument(
        "--sampling",
        choices=tuple(SAMPLINGS),
        default="grid_sample",
        help="gather: slower, where a runtime's GridSample is wrong (default %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Read, trace, compare, write, and say how far the file is from the model."""
    source = zoo.path_of(args.checkpoint)
    out = Path(args.out or f"{source.stem}.onnx")
    model, content = checkpoints.read_model(source)
    notes = {name: content[name] for name in KEPT_NOTES if name in content}
    differences = export_onnx(
        model, out, with_points=args.with_points, precision=args.precision, sampling=args.sampling, **notes
    )
    print(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB; ONNX Runtime's logits differ by {differences['pred_logits']:.1e}, "
        f"boxes by {differences['pred_boxes']:.1e} of the image"
    )
