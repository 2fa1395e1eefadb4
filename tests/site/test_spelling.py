"""The prose of docs, notebooks and the pages at the root: no misspelled words, and British spelling throughout.

codespell knows misspellings, not words, so new words need no list. Code, formulas and addresses are not prose.
"""

import functools
import json
import os
import re
import subprocess
import sys
from importlib.resources import files

import pytest

from tests.site.building import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")])
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]+>|https?://\S+", re.DOTALL)
WORD = re.compile(r"[A-Za-z]+")
# American forms that are also British words with another meaning, or parts of names.
ALSO_BRITISH = set("check checks license licensed meter practice practices program programs routing".split())
TITLES = re.compile(r"(?<!\*)\*[A-Z][^*]+\*(?!\*)")  # titles keep their own spelling


def prose(path) -> str:
    """What is written for reading."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = (cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return NOT_PROSE.sub(" ", text)


@functools.cache
def american() -> dict[str, str]:
    """American forms and the British ones, from codespell's own list of the opposite."""
    text = (files("codespell_lib") / "data" / "dictionary_en-GB_to_en-US.txt").read_text(encoding="utf-8")
    pairs = (line.split("->") for line in text.splitlines() if "->" in line)
    return {us.split(",")[0].strip(): gb for gb, us in pairs if us.split(",")[0].strip() not in ALSO_BRITISH}


def american_words(text: str) -> list[str]:
    words = WORD.findall(TITLES.sub(" ", text))
    return [f"{word} (British: {american()[word.lower()]})" for word in words if word.lower() in american()]


def misspelled(text: str) -> list[str]:
    command = [sys.executable, "-m", "codespell_lib", "--builtin", "clear,rare", "-"]
    both = {**os.environ, "PYTHONUTF8": "1"}  # what goes in and what comes out are UTF-8 on every system
    options = {"capture_output": True, "encoding": "utf-8", "env": both, "cwd": ROOT / "docs"}
    found = subprocess.run(command, input=text, **options)
    assert found.returncode in (0, 65), found.stderr  # 65: misspelled words were found
    return [line for line in found.stdout.splitlines() if "==>" in line]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_prose_is_spelled_right(path):
    text = prose(path)
    assert len(text.split()) > 20
    found = [*misspelled(text), *american_words(text)]
    assert not found, f"{path.relative_to(ROOT).as_posix()}: spell these words otherwise: {', '.join(found)}"


def test_a_misspelled_and_an_american_word_are_found():
    text = "We recieve the colors of the center; `color` is code."
    assert "recieve" in " ".join(misspelled(text))
    assert [word.split()[0] for word in american_words(NOT_PROSE.sub(" ", text))] == ["colors", "center"]
    assert american_words("*Colors of the center* is a title, **Colors in bold** are none.") == [
        "Colors (British: colours)"
    ]
