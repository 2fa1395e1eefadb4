"""`python -m benchmarks`: measure, print a table, write JSON and a picture."""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.detector import bench_detector
from benchmarks.hugging_face import bench_hugging_face
from benchmarks.operator import bench_operator
from benchmarks.report import as_text, plot, write_json
from benchmarks.workloads import WORKLOADS
from defdetr_ref.provenance import machine, versions

RESULTS = Path("docs/benchmarks")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch and our kernels")
    parser.add_argument("--rounds", type=int, default=7, help="every case is timed once a round; medians count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--no-detector", action="store_true", help="the operator alone")
    parser.add_argument("--no-hugging-face", action="store_true", help="leave out the models of transformers")
    parser.add_argument("--out", type=Path, help=f"JSON file; default: {RESULTS}/<name of the machine>.json")
    return parser.parse_args(arguments)


def device_name(device: str) -> str:
    here = machine()
    cpu = f"{here['processor']} {here['cpu_count']} cores"
    found = torch.cuda.get_device_name() if device == "cuda" else cpu
    return re.sub(r"[^a-z0-9]+", "-", found.lower()).strip("-")


def first_call_in_a_fresh_process(seed: int) -> dict[str, float]:
    """Twice, so that the second time finds the compiled kernels on disk."""
    program = f"import json; from benchmarks.detector import first_calls; print(json.dumps(first_calls({seed})))"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measure(
    options: argparse.Namespace, keep: Callable[[dict[str, Any]], object] = lambda results: None
) -> dict[str, Any]:
    """Everything the options ask for, ready for JSON; `keep` gets what there is whenever there is more."""
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {
        "date": date.today().isoformat(),
        "options": {name: str(value) for name, value in vars(options).items()},
        "machine": machine(options.device) | {"name": device_name(options.device)},
        "versions": versions(),
        "seed": options.seed,
        "rounds": options.rounds,
    }
    how = options.device, options.rounds, options.seed
    results["operator"] = bench_operator(*how, options.workloads, lambda found: keep(results | {"operator": found}))
    keep(results)
    if not options.no_detector:
        results["detector"] = bench_detector(*how)
        keep(results)
    if not options.no_hugging_face and importlib.util.find_spec("transformers"):
        results["hugging_face"] = bench_hugging_face(*how)
    if options.device == "cpu":
        results["first_call"] = first_call_in_a_fresh_process(options.seed)
    return results


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    results = measure(options)
    print(as_text(results))
    out = options.out or RESULTS / f"{device_name(options.device)}.json"
    write_json(results, out)
    plot(results).savefig(out.with_suffix(".png"), dpi=110)
    print(f"\nwritten: {out} and {out.with_suffix('.png')}")


if __name__ == "__main__":
    main()
