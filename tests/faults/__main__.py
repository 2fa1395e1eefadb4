"""`make faults`, or `python -m tests.faults --help`. Exit status 1 if anything ended otherwise than it must."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch is there: processes are forked, and threads would not be


def main(arguments: list[str] | None = None) -> int:
    from tests.faults.campaign import KINDS, Campaign

    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of moments and bits (default 1)")
    for kind, times in KINDS.items():
        parser.add_argument(
            f"--{kind.replace('_', '-')}", type=int, default=times, metavar="N", help=f"default {times}"
        )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        os.chmod(folder, 0o755)  # for a process that becomes a user without rights
        campaign = Campaign(Path(folder), options.seed)
        print(f"a run without faults makes {campaign.calls} calls", flush=True)
        for kind in KINDS:
            campaign.repeat(kind, getattr(options, kind))
            for what, times in sorted(campaign.counts.items()):
                if what.startswith(kind):
                    print(f"{times:5} {what}", flush=True)
    for problem in campaign.problems:
        print(problem)
    return int(bool(campaign.problems))


if __name__ == "__main__":
    sys.exit(main())
