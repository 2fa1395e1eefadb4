"""Repeat an experiment of the course: does it converge faster, on small objects too, why, and what does it cost?"""

import argparse
from collections.abc import Callable
from pathlib import Path

RESULTS = Path("docs/studies")
WORK = Path("runs/studies")
ONE_JOB = {  # study → why it takes no more
    "small-objects": "measures time, so it does one thing at a time",
    "cost": "measures time, so it does one thing at a time",
    "outside": "trains one detector at a time",
    "bugs": "plants them into this process, one at a time",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr study`."""
    parser.add_argument("study", choices=STUDIES, help="which one; notebooks 11, 12 and 16 read their results")
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="the folder (convergence, ablation, outside, bugs) or file (small-objects, cost) of the results "
        f"(default: {RESULTS}/…)",
    )
    parser.add_argument("--work", metavar="FOLDER", help=f"for data and unfinished runs (default: {WORK}/work)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a minute only; by default written under runs/")


def run(args: argparse.Namespace) -> None:
    """Run the study and print its table."""
    results = WORK / "quick" if args.quick else RESULTS
    work = Path(args.work or WORK / ("quick-work" if args.quick else "work"))
    if args.jobs != 1 and args.study in ONE_JOB:
        raise ValueError(f"--jobs {args.jobs}: the study {args.study} {ONE_JOB[args.study]}")
    STUDIES[args.study](args, results, work)


def study_convergence(args: argparse.Namespace, results: Path, work: Path) -> None:
    """Search rates and train all models; an interrupted study goes on where it stopped."""
    from defdetr_ref.studies import analysis, convergence, plan

    canvases = {"quick": plan.quick_settings()} if args.quick else None
    done = convergence.run_study(Path(args.out or results / "convergence"), work, canvases, jobs=args.jobs)
    for canvas, runs in done.items():
        print(f"\n{canvas}\n{convergence.table(runs)}\n\n{analysis.factor_table(runs)}")


def study_small_objects(args: argparse.Namespace, results: Path, work: Path) -> None:
    """AP by size of the trained pairs, from the convergence study; and what a finer map costs each model."""
    from defdetr_ref.studies import analysis, convergence, finer_maps

    settings = finer_maps.quick_settings() if args.quick else finer_maps.Settings()
    content = finer_maps.run_study(Path(args.out or results / "finer_maps.json"), settings)
    print(finer_maps.table(content))
    for folder in sorted((results / "convergence").glob("*")):
        print(f"\n{folder.name}\n{analysis.size_table(convergence.read_runs(folder))}")


def study_ablation(args: argparse.Namespace, results: Path, work: Path) -> None:
    """Train every variant, at the rate that the convergence study finds for the model that they change."""
    from defdetr_ref.studies import ablation, convergence, plan

    name, settings = ("quick", plan.quick_settings()) if args.quick else ("96px", plan.Settings())
    searched = convergence.search(("deformable",), settings, results / "convergence" / name, work, jobs=args.jobs)
    out, lr = Path(args.out or results / "ablation"), plan.best_rates(searched)["deformable"]
    print(ablation.table(ablation.run_study(out, work, lr, settings, jobs=args.jobs)))


def study_cost(args: argparse.Namespace, results: Path, work: Path) -> None:
    """Count and measure; a new measurement replaces the old one."""
    from defdetr_ref.studies import cost

    out = Path(args.out or results / "cost.json")
    content = cost.run_study(out, cost.quick_settings() if args.quick else cost.Settings())
    print(cost.table(content))


def study_outside(args: argparse.Namespace, results: Path, work: Path) -> None:
    """Short trainings of zoo:shapes with other points and levels; an interrupted one goes on where it stopped."""
    from defdetr_ref.studies import outside

    settings = outside.quick_settings() if args.quick else outside.Settings()
    print(outside.table(outside.run_study(Path(args.out or results / "outside"), work / "outside", settings)))


def study_bugs(args: argparse.Namespace, results: Path, work: Path) -> None:
    """Short runs, healthy and with each of ten bugs; the table does not name them."""
    from defdetr_ref.debugging import figures, runs

    settings = runs.quick_settings() if args.quick else runs.Settings()
    done = runs.run_study(Path(args.out or results / "bugs"), work / "bugs", settings)
    healthy = [run for name, run in done.items() if name.startswith("healthy")]
    cases = {name.removeprefix("case-"): run for name, run in done.items() if name.startswith("case")}
    print(figures.symptom_table(dict(sorted(cases.items())), healthy))


STUDIES: dict[str, Callable[[argparse.Namespace, Path, Path], None]] = {
    "convergence": study_convergence,
    "small-objects": study_small_objects,
    "ablation": study_ablation,
    "cost": study_cost,
    "outside": study_outside,
    "bugs": study_bugs,
}
