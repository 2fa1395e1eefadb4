"""Run solved notebooks and print what is right; for a folder of folders, a row for each learner."""

import argparse
import json
import sys
from pathlib import Path

NOT_ALL = 1  # exit code: something is wrong, open or broken
SECONDS = 300


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr grade`."""
    parser.add_argument("folder", metavar="FOLDER", help="solved notebooks, or a folder of them for each learner")
    parser.add_argument("--json", action="store_true", help="print JSON, with what each check and each error said")
    parser.add_argument(
        "--cell-seconds", type=float, default=SECONDS, metavar="N", help="a cell is stopped after (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Grade; 0 if everything is solved and runs, otherwise 1. It runs what learners wrote, with your rights."""
    from defdetr_ref.grading import marks  # brings the exercises, and Numba with them

    if not args.cell_seconds > 0:
        raise ValueError(f"--cell-seconds {args.cell_seconds:g}: a cell needs a time above 0")
    learners, top = [], Path(args.folder).resolve()
    for folder in marks.folders_of_learners(top):
        graded = []
        for path in marks.notebooks_of(folder):
            print(f"running {folder.name}/{path.name}", file=sys.stderr)
            graded.append(marks.grade_notebook(path, args.cell_seconds))
        learners.append(marks.Learner(folder.name, graded))
    marks.count_exercises(learners)
    if args.json:
        print(json.dumps(marks.as_json(learners), indent=1, ensure_ascii=False))
    elif marks.notebooks_of(top):
        print(marks.notebook_table(learners[0].notebooks))
    else:
        print(marks.learner_table(learners))
    return 0 if all(learner.passed for learner in learners) else NOT_ALL
