"""Store what a trained detector does on a few images, for the explorer on the site.

    python docs/explorer/record.py runs/demo data/shapes

Run it after `make demo`. The checkpoint of the run's last epoch is read; nothing of it but the points is stored.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from site_parts.explorer import write_recording

from defdetr_ref import checkpoints
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.explain.explorer.page import open_images
from defdetr_ref.explain.explorer.state import describe

IMAGES, LEAST_OBJECTS = 2, 3
OUT = Path(__file__).parent / "recording.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of `make demo`, with last.pt, config.json and metrics.jsonl")
    parser.add_argument("data", type=Path, help="the folder of its images, with val/ and val.json")
    options = parser.parse_args()
    model = checkpoints.build_model(options.run / "last.pt").eval()
    data = CocoDetection(options.data / "val", options.data / "val.json")
    chosen = [i for i in range(len(data)) if len(data[i][1]["labels"]) >= LEAST_OBJECTS][:IMAGES]
    state = describe(open_images(model, [data[i][0] for i in chosen]), data.categories)
    rows = [json.loads(line) for line in (options.run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    origin = {
        "preset": "tiny",
        "command": "make demo",
        "epochs_done": rows[-1]["epoch"],
        "epochs": json.loads((options.run / "config.json").read_text(encoding="utf-8"))["train"]["epochs"],
        "images": len(chosen),
        "least_objects": LEAST_OBJECTS,
    }
    write_recording(OUT, state, origin)
    print(f"written: {OUT}, {OUT.stat().st_size / 1000:.0f} kB, {origin}")


if __name__ == "__main__":
    main()
