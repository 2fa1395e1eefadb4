"""A seeded sample of mutants, and the file of results from which an interrupted campaign goes on."""

import hashlib
import json
import random
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutants.operators import edits_of
from tests.mutants.rooms import ROOMS, ROOT, path_of
from tests.mutants.source import Edit, Source


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    line: int
    kind: str
    old: str  # the lines that are touched, evened out
    new: str
    edit: Edit


@dataclass(frozen=True)
class Result:
    """What became of a mutant. `state` tells the module and its tests from later versions of them."""

    module: str
    line: int
    kind: str
    old: str
    new: str
    start: int
    end: int
    text: str
    outcome: str  # "killed", "survived" or "error"
    noticed_by: str
    seconds: float
    state: str

    @property
    def key(self) -> tuple:
        return self.module, self.start, self.end, self.text, self.state


def key_of(mutant: Mutant, state: str) -> tuple:
    """Equal to the `key` of its result."""
    return mutant.module, mutant.edit.start, mutant.edit.end, mutant.edit.text, state


def mutants_of(module: str, text: str) -> list[Mutant]:
    """All of them."""
    source = Source(text)
    return [Mutant(module, source.line_of(edit), edit.kind, *source.lines_of(edit), edit) for edit in edits_of(source)]


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """`count` of them (or all), the kinds in turn, so that a rare kind is not drowned by constants."""
    rng = random.Random(f"{seed} {mutants[0].module if mutants else ''}")
    by_kind: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        by_kind.setdefault(mutant.kind, []).append(mutant)
    for kind in by_kind.values():
        rng.shuffle(kind)
    chosen: list[Mutant] = []
    while len(chosen) < min(count, len(mutants)):
        kinds = sorted(kind for kind, left in by_kind.items() if left)
        rng.shuffle(kinds)
        chosen += [by_kind[kind].pop() for kind in kinds[: count - len(chosen)]]
    return chosen


def arguments_of(module: str) -> list[str]:
    """Of pytest."""
    return shlex.split(ROOMS[module])


def state_of(module: str, root: Path = ROOT) -> str:
    """A digest of the module and of its direct tests: results for another state say nothing."""
    digest = hashlib.sha256()
    tests = [argument for argument in arguments_of(module) if argument.startswith("tests/")]
    for path in (path_of(module), *map(Path, tests)):
        digest.update((root / path).read_bytes())
    return digest.hexdigest()[:16]


def read_results(path: Path) -> dict[tuple, Result]:
    """By key. A last line that was cut short is left out."""
    results = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            result = Result(**json.loads(line))
        except (json.JSONDecodeError, TypeError):
            continue
        results[result.key] = result
    return results


def append_result(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def in_turns(samples: Iterable[list[Mutant]]) -> list[Mutant]:
    """The first of every module, then the second of every module: a campaign cut short has seen all modules."""
    numbered = [(number, mutant) for mutants in samples for number, mutant in enumerate(mutants)]
    return [mutant for _, mutant in sorted(numbered, key=lambda pair: pair[0])]
