"""`make fuzz`, or `python -m tests.fuzz --help`. Exit status 1 if any input ended otherwise than it must."""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # inputs are small; threads would only wait for each other

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    from tests.fuzz.campaign import TARGETS, Campaign

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="other inputs (default 1)")
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="TARGET", help="not all")
    parser.add_argument("--cases", type=int, metavar="N", help=f"of each target (default {TARGETS})")
    parser.add_argument("--case", type=int, metavar="NUMBER", help="run this one alone, with its traceback")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "fuzz", help="folder of what is done")
    parser.add_argument("--again", action="store_true", help="forget what is done already")
    options = parser.parse_args(arguments)
    problems = []
    for target in options.only:
        campaign = Campaign(target, options.seed, options.out, again=options.again)
        if options.case is not None:
            print(f"{target} {options.case}: {campaign.one(options.case)}")
            continue
        campaign.run_until(options.cases or TARGETS[target])
        for what, times in sorted(campaign.counts.items()):
            print(f"{times:7} {target}: {what}", flush=True)
        problems += campaign.problems
    for problem in problems:
        print(problem)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
