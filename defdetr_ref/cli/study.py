"""Repeat an experiment of the course: does it converge faster, and what does it cost?"""

import argparse
from pathlib import Path

STUDIES = ("convergence", "cost")
RESULTS = Path("docs/studies")
WORK = Path("runs/studies")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr study`."""
    parser.add_argument("study", choices=STUDIES, help="which one; notebooks 11 and 12 read their results")
    parser.add_argument(
        "--out", metavar="PATH", help=f"the folder (convergence) or file (cost) of the results (default: {RESULTS}/…)"
    )
    parser.add_argument(
        "--work", metavar="FOLDER", help=f"for data and unfinished runs of convergence (default: {WORK}/convergence)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a minute only; by default written under runs/")


def run(args: argparse.Namespace) -> None:
    """Run the study and print its table."""
    results = WORK / "quick" if args.quick else RESULTS
    if args.study == "convergence":
        study_convergence(args, results)
    else:
        study_cost(args, results)


def study_convergence(args: argparse.Namespace, results: Path) -> None:
    """Train both models; an interrupted study goes on where it stopped."""
    from defdetr_ref.studies import convergence

    out = Path(args.out or results / "convergence")
    work = Path(args.work or WORK / ("quick-work" if args.quick else "convergence"))
    settings = convergence.quick_settings() if args.quick else convergence.Settings()
    runs = convergence.run_study(out, work, settings, jobs=args.jobs)
    print(convergence.table(runs))


def study_cost(args: argparse.Namespace, results: Path) -> None:
    """Count and measure; a new measurement replaces the old one."""
    from defdetr_ref.studies import cost

    if args.jobs != 1:
        raise ValueError(f"--jobs {args.jobs}: the study of cost measures time, so it does one thing at a time")
    out = Path(args.out or results / "cost.json")
    content = cost.run_study(out, cost.quick_settings() if args.quick else cost.Settings())
    print(cost.table(content))
