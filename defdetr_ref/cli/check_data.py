"""Look through a data set before training: counts, everything that is wrong, duplicates, a contact sheet.

Exit code 1 if there is a problem.
"""

import argparse
import dataclasses
from pathlib import Path

from defdetr_ref.cli import common
from defdetr_ref.cli.train import validation_files
from defdetr_ref.data.annotations import SIZE_CLASSES
from defdetr_ref.data.checking import CheckedSplit, Finding, check_split, compare_splits, counts_by_category
from defdetr_ref.data.writing import SPLITS
from defdetr_ref.evaluation import COCO_SIZE_CLASSES

EXAMPLES = 3  # places of a finding that are printed
BETWEEN = "all images"  # the heading of what is found by comparing them


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr check-data`."""
    common.add_place_options(parser)
    common.add_validation_options(parser)
    common.add_follow_links_option(parser)
    parser.add_argument("--out", default="data-check", metavar="FOLDER", help="of sheet and page (default %(default)s)")
    parser.add_argument("--samples", type=int, default=24, metavar="N", help="images of a split (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of samples (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Check each split, print what was found, write contact_sheet.png, index.html and check.json."""
    from defdetr_ref.cli import contact_sheet  # brings matplotlib, for its font

    if args.samples < 1 or args.seed < 0:
        raise ValueError(f"--samples is {args.samples} and --seed {args.seed}; they must be at least 1 and 0")
    files = {"train": common.split_files(args, "train"), "val": validation_files(args)}
    splits = [
        check_split(name, *files[name], follow_links=args.follow_links) for name in SPLITS if files[name] is not None
    ]
    tables = {split.name: counts_by_category(split, COCO_SIZE_CLASSES) for split in splits}
    findings = {split.name: split.findings for split in splits} | {BETWEEN: compare_splits(splits)}
    for split in splits:
        print_counts(split, tables[split.name])
    problems = sum(print_findings(name, ones) for name, ones in findings.items())

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    samples = {split.name: contact_sheet.draw_samples(split, args.samples, args.seed) for split in splits}
    contact_sheet.save_sheet(out / "contact_sheet.png", samples)
    title = f"Data: {args.data or args.annotations}"
    contact_sheet.save_page(out / "index.html", title, tables, findings, samples)
    everything = {name: [dataclasses.asdict(one) for one in ones] for name, ones in findings.items()}
    common.write_json(out / "check.json", {"categories": tables, "findings": everything})
    print(f"kinds of problems: {problems}; more in {out / 'index.html'}")
    return int(problems > 0)


def print_counts(split: CheckedSplit, rows: list[dict]) -> None:
    """Numbers of images and boxes, and a line for each category."""
    print(f"{split.name}: {len(split.content.images):,} images, {len(split.targets):,} boxes to learn from")
    width = max((len(row["name"]) for row in rows), default=0)
    keys = ("boxes", "images", *SIZE_CLASSES)
    print(f"  {'':{width}} " + "".join(f"{key:>9}" for key in keys))
    for row in rows:
        print(f"  {row['name']:{width}} " + "".join(f"{row[key]:>9,}" for key in keys))


def print_findings(name: str, findings: list[Finding]) -> int:
    """Each with its first places; returns how many of them are problems."""
    for one in sorted(findings, key=lambda one: not one.problem):
        print(f"{name}: {'PROBLEM' if one.problem else 'note'}: {one.what}: {len(one.where):,}")
        for place in one.where[:EXAMPLES]:
            print(f"    {' '.join(place.split())}")
        if len(one.where) > EXAMPLES:
            print(f"    … {len(one.where) - EXAMPLES:,} more")
    return sum(one.problem for one in findings)
