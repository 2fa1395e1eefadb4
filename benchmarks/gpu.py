"""`make gpu`: the GPU tests, then the benchmarks, into one JSON file, for a machine that is only briefly at hand.

What fails is written down beside what works, and nothing that was measured is lost.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import torch

from benchmarks.__main__ import RESULTS, device_name, measure
from benchmarks.__main__ import parse as parse_benchmarks
from benchmarks.report import as_text, plot, write_json
from defdetr_ref.provenance import machine, versions

TAIL = 4000  # characters of a failing test run that are kept


def run_tests() -> dict[str, Any]:
    """tests/gpu: counts, seconds, and the reason of each test that did not pass."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        start = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "tests/gpu", "-rs", f"--junitxml={report}"]
        done = subprocess.run(command, capture_output=True, text=True)
        found: dict[str, Any] = {"seconds": round(time.perf_counter() - start, 1), "exit_status": done.returncode}
        if not report.exists():
            return found | {"output": done.stdout[-TAIL:] + done.stderr[-TAIL:]}
        suite = ElementTree.parse(report).getroot().find("testsuite")
        found |= {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
        found["not_passed"] = {
            f"{case.get('classname')}::{case.get('name')}": (outcome.get("message") or outcome.text or "")[:500]
            for case in suite.iter("testcase")
            for outcome in case
            if outcome.tag in ("failure", "error", "skipped")
        }
        return found | ({"output": done.stdout[-TAIL:]} if done.returncode else {})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS}/gpu-<name of the GPU>.json")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-tests", action="store_true", help="the benchmarks alone; the file's tests are kept")
    options, others = parser.parse_known_args()  # the others are of `python -m benchmarks`: --workloads, …
    if not torch.cuda.is_available():
        sys.exit("make gpu: PyTorch finds no NVIDIA GPU on this machine; run it on one that has a GPU and its driver")
    out = options.out or RESULTS / f"gpu-{device_name('cuda')}.json"
    results: dict[str, Any] = {"machine": machine("cuda") | {"name": device_name("cuda")}, "versions": versions()}
    if not options.no_tests:
        results["tests"] = run_tests()
        print({name: count for name, count in results["tests"].items() if name != "output"})
    elif out.exists():
        results["tests"] = json.loads(out.read_text(encoding="utf-8")).get("tests", {})
    write_json(results, out)
    asked = parse_benchmarks(["--device", "cuda", "--rounds", str(options.rounds), *others])
    try:
        results |= measure(asked, lambda found: write_json(results | found, out))
        print(as_text(results))
        plot(results).savefig(out.with_suffix(".png"), dpi=110)
    except Exception:  # the tests' results are kept, and the file says what went wrong
        results["benchmark_error"] = traceback.format_exc()[-TAIL:]
        raise
    finally:
        write_json(results, out)
        print(f"written: {out}")


if __name__ == "__main__":
    main()
