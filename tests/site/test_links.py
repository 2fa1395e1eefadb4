"""Links between the repository's own files: root, docs, notebooks. Those of the built site: test_build.py."""

import json
import re
from pathlib import Path

import pytest

from tests.site.building import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")])
PAGES = [path for path in PAGES if "_build" not in path.parts]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)|href=\"(\w+\.ipynb)\"")
CODE = re.compile(r"```.*?```|`[^`\n]*`|\$[^$]*\$", re.DOTALL)


def links(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        parts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        outputs = (output.get("data", {}) for cell in cells for output in cell.get("outputs", []))
        text = "\n\n".join([*parts, *("".join(data.get("text/html", "")) for data in outputs)])
    return [found[1] or found[2] for found in LINK.finditer(CODE.sub("x", text))]


def is_still_to_come(link: str) -> bool:
    """A notebook of the course that is not written yet; once its number is there, links must have its name."""
    number = re.match(r"(\d\d)_\w+\.ipynb$", Path(link).name)
    return bool(number) and not list((ROOT / "notebooks").glob(f"{number[1]}_*.ipynb"))


def leads_somewhere(path: Path, link: str) -> bool:
    """The site has a copy of the notebooks below docs/, which need not be built for this."""
    copied = path.parent == ROOT / "docs" and link.startswith("notebooks/")
    return ((ROOT if copied else path.parent) / link).exists()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(path):
    dead = [link for link in links(path) if not leads_somewhere(path, link) and not is_still_to_come(link)]
    page = path.relative_to(ROOT).as_posix()
    assert not dead, f"{page} links to {', '.join(dead)}, where no file is: link to where it is now, or drop the link"


def test_links_are_found():
    found = [link for path in PAGES for link in links(path)]
    assert "notebooks/03_sampling_offsets.ipynb" in found and "04_multi_scale_attention.ipynb" in found
