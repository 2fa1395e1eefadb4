"""Inputs without end, each decided by target, seed and number alone; what was done is kept, so that one can stop."""

import hashlib
import importlib
import json
import logging
import random
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import defdetr_ref
from defdetr_ref.studies.results import write_json

# And how many cases of each; a case of the last builds four models with a ResNet-50.
TARGETS = {
    "annotations": 20_000,
    "pictures": 20_000,
    "checkpoints": 3_000,
    "operator": 1_500,
    "folders": 60,
}  # and how many cases
SAVED_EVERY = 250  # cases


class Campaign:
    """All cases of one target so far.

    target: a module of this package with `Target(folder)`, whose `case(rng)` returns in words what happened. Whatever
        it raises is a problem.
    seed: another seed, other inputs.
    out: where counts and problems are kept.
    again: forget those that are there.

    A later version of the package begins anew.
    """

    def __init__(self, target: str, seed: int, out: Path, again: bool = False) -> None:
        self.target, self.seed = target, seed
        self.path = out / f"{target}-{seed}.json"
        self.done, self.counts, self.problems = 0, Counter(), []
        self._state = state_of_package()
        if self.path.is_file() and not again:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            if kept["state"] == self._state:
                self.done, self.counts, self.problems = kept["done"], Counter(kept["counts"]), kept["problems"]

    def run_until(self, cases: int) -> None:
        """Until there are so many in all; on Ctrl-C, what is done is kept."""
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            target = self._target(Path(folder))
            try:
                while self.done < cases:
                    self._try(target)
                    self.done += 1
                    if self.done % SAVED_EVERY == 0:
                        self._save()
            finally:
                self._save()

    def one(self, number: int) -> str:
        """A single case, which raises what it raises."""
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            return self._target(Path(folder)).case(self._rng(number))

    def _try(self, target) -> None:
        try:
            self.counts[target.case(self._rng(self.done))] += 1
        except Exception as error:
            self.counts["WRONG"] += 1
            again = f"python -m tests.fuzz --seed {self.seed} --only {self.target} --case {self.done}"
            self.problems.append(f"{again}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def _target(self, folder: Path):
        warnings.simplefilter("ignore")  # Pillow and PyTorch warn of much that is refused a moment later
        logging.getLogger("defdetr_ref").setLevel(logging.ERROR)
        return importlib.import_module(f"tests.fuzz.{self.target}").Target(folder)

    def _rng(self, number: int) -> random.Random:
        return random.Random(f"{self.target} {self.seed} {number}")

    def _save(self) -> None:
        content = {"state": self._state, "done": self.done, "counts": self.counts, "problems": self.problems}
        write_json(self.path, content)


def state_of_package() -> str:
    """Another one when a line of the package has changed."""
    digest = hashlib.sha256()
    for path in sorted(Path(defdetr_ref.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def assert_is_a_sentence(error: Exception, place: object) -> None:
    """What a user is told: one line that names the file."""
    message = str(error)
    assert str(place) in message, f"{type(error).__name__} does not name {place}: {message[:200]!r}"
    assert "\n" not in message and len(message) < 2000, f"no sentence: {message[:200]!r}"
