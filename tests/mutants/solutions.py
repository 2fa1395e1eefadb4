"""The exercises' solutions, broken like the package's modules: do the checks of the course refuse each of them?

    python -m tests.mutants.solutions [NAMES …]

Each change runs in this process, as a check interrupts what never ends. Prints what was accepted though it is not in
`solutions.toml`, the list of changes after which an answer is as right as before, and the share refused.
"""

import argparse
import inspect
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from defdetr_ref.course import exercises
from defdetr_ref.course.exercises.exercise import compiled
from tests.mutants.operators import edits_of
from tests.mutants.source import Source


def mutants_of(solution: Callable) -> Iterator[tuple[str, str, Callable]]:
    """(the lines before, after, the changed function) for every change that the mutator knows."""
    function = inspect.unwrap(solution)
    source = Source(textwrap.dedent(inspect.getsource(function)))
    for edit in edits_of(source):
        yield *source.lines_of(edit), compiled(function, source.apply(edit))


def read_equivalents() -> dict[tuple[str, str, str], str]:
    """(exercise, lines before, lines after) → why both are right."""
    entries = tomllib.loads(Path(__file__).with_name("solutions.toml").read_text(encoding="utf-8"))["equivalent"]
    return {(name, each["old"], each["new"]): each["reason"] for each in entries for name in each["of"]}


def accepted_of(name: str) -> tuple[list[tuple[str, str]], int]:
    """The changes that the check takes for right, as (before, after), and how many were tried."""
    exercise, accepted, tried = exercises.find(name), [], 0
    for before, after, mutant in mutants_of(exercise.solution):
        tried += 1
        try:
            exercises.examine(exercise, mutant)
        except exercises.WrongAnswer:
            continue
        accepted.append((before, after))
    return accepted, tried


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.solutions", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help='beginnings of names, such as "07" or "09-focal"; all by default')
    wanted = tuple(parser.parse_args(arguments).names) or ("",)
    functions = [name for name in exercises.names() if callable(exercises.find(name).solution)]
    equivalents, refused, total, equivalent = read_equivalents(), 0, 0, 0
    for name in functions:
        if name.startswith(wanted):
            accepted, tried = accepted_of(name)
            wrong = [change for change in accepted if (name, *change) not in equivalents]
            refused, total = refused + tried - len(accepted), total + tried
            equivalent += len(accepted) - len(wrong)
            print(f"{name}: {tried - len(accepted)} of {tried} refused", flush=True)
            for before, after in wrong:
                print(f"    accepted: {before}  →  {after}")
    if not total:
        sys.exit(f"no exercise that is a function has a name that begins with {' or '.join(wanted)}")
    share = (refused + equivalent) / total
    print(f"{refused} of {total} refused, {equivalent} shown equivalent: {share:.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
