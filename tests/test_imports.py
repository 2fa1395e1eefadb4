"""The house as docs/house.md draws it: imports only go up the list of rooms, and never in a circle."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"defdetr_ref": ROOT / "defdetr_ref", "defdetr_cuda": ROOT / "cuda" / "defdetr_cuda"}
HOUSE = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
LARGEST_SHARE = 0.25  # of all lines, for one room

Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Dotted name → file, of both packages."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str, module: str, known: set[str]) -> set[str]:
    """The modules of `known` that a module imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in whole}
    return (names & known) - {module}


def graph() -> Graph:
    known = modules()
    return {name: imports(path.read_text(encoding="utf-8"), name, set(known)) for name, path in known.items()}


def rooms() -> list[list[str]]:
    """The rows of the table: files and folders, relative to the package or, in cuda/, to the root."""
    first_cells = re.findall(r"^\| (`[^|]*) \|", HOUSE, re.MULTILINE)
    return [re.findall(r"`([^`]+)`", cell) for cell in first_cells]


def room_of(path: Path, rows: list[list[str]]) -> int:
    """The row that names the file, or else a folder that holds it."""
    for base in (ROOT / "defdetr_ref", ROOT):
        for number, names in enumerate(rows):
            for name in names:
                place = base / name
                if place == path or (name.endswith("/") and place in path.parents):
                    return number
    raise AssertionError(f"docs/house.md names no room for {path.relative_to(ROOT)}; add it to the table")


def circle(graph: Graph) -> list[str] | None:
    """Modules of which each imports the next, and the last is the first again; None if there are none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1][::-1]  # the sorter tells what is imported first
    return None


def upward(graph: Graph, room: dict[str, int]) -> list[str]:
    """Each import of a room further down the list, as one sentence."""
    return [
        f"{module} imports {other}, whose room is below it in docs/house.md: move what both need up the list"
        for module, others in sorted(graph.items())
        for other in sorted(others)
        if room[other] > room[module]
    ]


def test_no_imports_go_in_a_circle():
    found = circle(graph())
    if found:
        pytest.fail(f"imports go in a circle, {' → '.join(found)}: move what they share into a file that imports none")


def test_imports_only_go_up_the_list_of_rooms():
    rows = rooms()
    room = {name: room_of(path, rows) for name, path in modules().items()}
    found = upward(graph(), room)
    assert not found, "\n".join(found)


def test_every_room_of_the_list_exists():
    named = [name for row in rooms() for name in row]
    assert len(named) == len(set(named)) > 20
    for name in named:
        assert any((base / name).exists() for base in (ROOT / "defdetr_ref", ROOT)), f"docs/house.md: no {name}"


def test_no_room_holds_a_quarter_of_the_lines():
    rows = rooms()
    lines = [0] * len(rows)
    for path in modules().values():
        lines[room_of(path, rows)] += len(path.read_text(encoding="utf-8").splitlines())
    largest = max(range(len(rows)), key=lines.__getitem__)
    share = lines[largest] / sum(lines)
    assert share < LARGEST_SHARE, f"{', '.join(rows[largest])} holds {share:.0%} of the lines; split it"


@pytest.mark.parametrize(
    "source", ["import a.c", "from a import c", "from a.c import x", "def f():\n    from a.c import x"]
)
def test_every_way_to_import_is_seen(source):
    assert imports(source, "a.b", {"a", "a.b", "a.c"}) == {"a.c"}


def test_a_circle_and_an_arrow_downwards_are_told():
    found = circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert "".join(found) in ("abca", "bcab", "cabc")  # each imports the next
    (sentence,) = upward({"a": {"b"}, "b": set()}, {"a": 0, "b": 1})
    assert sentence.startswith("a imports b, whose room is below it")
