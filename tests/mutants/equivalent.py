"""The list of changes that cannot be noticed, each with its reason."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.campaign import mutants_of
from tests.mutants.rooms import ROOMS, ROOT, path_of

LIST = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Equivalent:
    module: str
    old: str
    new: str
    reason: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.module, self.old, self.new


def read_equivalents(path: Path = LIST) -> list[Equivalent]:
    return [Equivalent(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("equivalent", [])]


def outdated(entries: Iterable[Equivalent], root: Path = ROOT) -> list[str]:
    """One sentence for each entry that fits no change of the tree any more."""
    sentences, known = [], {}
    for entry in entries:
        path = root / path_of(entry.module)
        if entry.module not in ROOMS or not path.exists():
            sentences.append(f"equivalent.toml: rooms.py has no module {entry.module!r}; rename it in the entry.")
            continue
        if entry.module not in known:
            known[entry.module] = {(m.old, m.new) for m in mutants_of(entry.module, path.read_text(encoding="utf-8"))}
        if (entry.old, entry.new) not in known[entry.module]:
            sentences.append(
                f"equivalent.toml: {path_of(entry.module)} has no line `{entry.old}` that can become `{entry.new}` any "
                "more; mend the entry or take it out."
            )
    return sentences
