"""Every name in the glossary exists where the glossary says."""

import importlib
import inspect
import re
from typing import Any

import pytest

from tests.site.building import DOCS

ROW = re.compile(r"^\|.*\| `(\w+)` \| `([\w.]+)` \|$", re.MULTILINE)
ROWS = ROW.findall((DOCS / "glossary.md").read_text(encoding="utf-8"))


def resolve(path: str) -> Any:
    """What `path` within the package names: a module, or something in one."""
    parts = path.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(["defdetr_ref", *parts[:split]]))
        except ModuleNotFoundError:
            continue
        for name in parts[split:]:
            found = getattr(found, name)
        return found
    raise AttributeError(path)


def names_in(thing: Any) -> set[str]:
    """Members of a module; parameters and variables of a function; fields and attributes of a class."""
    if inspect.ismodule(thing):
        return set(vars(thing))
    if inspect.isclass(thing):
        assigned = re.findall(r"self\.(\w+)(?:, self\.\w+)* =", inspect.getsource(thing))
        return {*vars(thing), *getattr(thing, "__annotations__", {}), *assigned}
    return set(inspect.unwrap(thing).__code__.co_varnames)


@pytest.mark.parametrize(("name", "where"), ROWS, ids=[f"{where}:{name}" for name, where in ROWS])
def test_the_name_is_there(name, where):
    there = name in names_in(resolve(where))
    assert there, f"docs/glossary.md: defdetr_ref.{where} has no {name}; write the name that it has now"


def test_every_row_is_read():
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    table = text.split("## Words")[0]
    assert len(ROWS) == table.count("\n| ") - 1 >= 20  # less the head


def test_a_name_that_is_not_there_is_noticed():
    module = resolve("attention.MultiScaleDeformableAttention")
    assert "sampling_offset" not in names_in(module) and "weights" not in names_in(module.forward)
    with pytest.raises(AttributeError):
        resolve("attention.MultiScaleAttention")
