"""What a learner's notebooks are worth, exercise by exercise, and how that reads as a table or as JSON."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from defdetr_ref.course import exercises
from defdetr_ref.grading.running import Cell, run_notebook

CHECK = re.compile(r"exercises\.check\(\s*[\"']([^\"']+)[\"']")
WRONG = exercises.WrongAnswer.__name__
WORDS = 60  # letters of a sentence in a table


@dataclass
class Broken:
    """A cell that does not run."""

    cell: int  # its number among the code cells; 0: the notebook as a whole
    source: str  # its first line
    what: str


@dataclass
class Marks:
    """Of one notebook."""

    file: str
    solved: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)  # and what the check says of it
    open: list[str] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Learner:
    """A folder of notebooks."""

    name: str
    notebooks: list[Marks]
    of: int = 0  # exercises of all lessons that somebody handed in

    @property
    def solved(self) -> int:
        """How many exercises; one that is in two notebooks counts once."""
        return len({name for marks in self.notebooks for name in marks.solved})

    @property
    def passed(self) -> bool:
        """Whether everything is solved and every cell runs."""
        return self.solved == self.of and not any(marks.broken for marks in self.notebooks)


def notebooks_of(folder: Path) -> list[Path]:
    """The notebooks of a folder whose names begin with a lesson's number."""
    numbers = {name[:2] for name in exercises.names()}
    return sorted(path for path in folder.glob("*.ipynb") if path.name[:2] in numbers)


def folders_of_learners(folder: Path) -> list[Path]:
    """The folder itself if it holds notebooks, else those in it, one for each learner.

    Raises FileNotFoundError if there are no notebooks in either.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; name one with solved notebooks")
    if notebooks_of(folder):
        return [folder]
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not any(notebooks_of(path) for path in inside):
        raise FileNotFoundError(
            f"{folder} holds no notebooks of the course, nor does a folder in it; their names begin with the lesson's "
            "number, as in 04_multi_scale_attention.ipynb"
        )
    return inside


def grade_notebook(path: Path, seconds: float | int) -> Marks:
    """Run a notebook and judge each exercise of its lesson. A cell may work for `seconds`."""
    marks = Marks(path.name)
    names = [exercise.name for exercise in exercises.of_notebook(path.name[:2])]
    try:
        run = run_notebook(path, seconds)
    except ValueError as error:
        marks.open, marks.broken = names, [Broken(0, "", str(error))]
        return marks
    for cell in run.failed:
        checked = [name for name in CHECK.findall(cell.source) if name in names]
        if cell.error == WRONG and checked:
            marks.wrong |= {name: cell.what.removeprefix(f"{WRONG}: ") for name in checked if name not in run.solved}
        else:
            marks.broken.append(Broken(cell.number, first_line(cell), cell.what))
    marks.solved = [name for name in names if name in run.solved]
    marks.open = [name for name in names if name not in run.solved and name not in marks.wrong]
    marks.seconds = round(run.seconds, 1)
    return marks


def first_line(cell: Cell) -> str:
    """What a cell begins with, by which it can be found."""
    return next((line for line in cell.source.splitlines() if line.strip()), "")


def count_exercises(learners: Sequence[Learner]) -> None:
    """Tell each how many there are, in all lessons that any of them handed in."""
    numbers = {marks.file[:2] for learner in learners for marks in learner.notebooks}
    total = sum(len(exercises.of_notebook(number)) for number in numbers)
    for learner in learners:
        learner.of = total


def as_json(learners: Iterable[Learner]) -> dict[str, Any]:
    """All that is known, as JSON can hold it."""
    rows = [{**asdict(learner), "solved": learner.solved, "passed": learner.passed} for learner in learners]
    return {"learners": rows}


def notebook_table(marks: Iterable[Marks]) -> str:
    """A row for each notebook."""
    rows = [("notebook", "solved", "wrong", "open", "broken")]
    for one in marks:
        total = len(one.solved) + len(one.wrong) + len(one.open)
        parts = (f"{len(one.solved)} of {total}", " ".join(one.wrong), " ".join(one.open), told(one.broken))
        rows.append((one.file, *parts))
    return aligned(rows)


def learner_table(learners: Iterable[Learner]) -> str:
    """A row for each learner."""
    rows = [("learner", "solved", "wrong", "open", "broken")]
    for learner in learners:
        broken = [f"{one.file[:2]}: {told(one.broken)}" for one in learner.notebooks if one.broken]
        wrong = sum(len(one.wrong) for one in learner.notebooks)
        open_ = learner.of - learner.solved - wrong
        rows.append((learner.name, f"{learner.solved} of {learner.of}", str(wrong), str(open_), "; ".join(broken)))
    return aligned(rows)


def told(broken: Sequence[Broken]) -> str:
    """The first of the broken cells, and how many more there are: the others often follow from it."""
    if not broken:
        return ""
    first = broken[0]
    where = f"cell {first.cell}: " if first.cell else ""
    more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    sentence = first.what if len(first.what) <= WORDS else f"{first.what[: WORDS - 1]}…"
    return f"{where}{sentence}{more}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table; what is empty is a dash."""
    filled = [[cell or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*filled, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in filled)
