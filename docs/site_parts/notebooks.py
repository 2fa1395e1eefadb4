"""The executed notebooks live in notebooks/, Sphinx reads below docs/: they are copied before it looks.

Where a copy is equal nothing is written, so that a second build reads only what changed.
"""

import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from site_parts.folds import with_folds
from site_parts.laboratory import lesson_cells

WIDGET = "application/vnd.jupyter.widget-view+json"
HREF = re.compile(r'href="(\w+)\.ipynb"')
LINK = re.compile(r"\[([^\]]*)\]\(((?:\d\d)_\w+\.ipynb)\)")


def adapt(notebook: dict[str, Any], present: set[str]) -> dict[str, Any]:
    """Links as they are needed one folder deeper: to pages, not files; links to notebooks that are not there are text.

    Raises ExtensionError for a stored live widget: it needs Python, and a page has none.
    """
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = adapt_text("".join(cell["source"]), present)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if WIDGET in data:
                raise ExtensionError(
                    "a notebook stores a live widget, which is dead on a page without Python; show the page that "
                    "defdetr_ref.explain.save_explorer writes, or plain HTML"
                )
            if "text/html" in data:
                data["text/html"] = adapt_html("".join(data["text/html"]), present)
    return notebook


def adapt_text(text: str, present: set[str]) -> str:
    text = LINK.sub(lambda found: found[0] if found[2] in present else found[1], text)
    return text.replace("](../docs/", "](../").replace("](../../", "](../")


def adapt_html(text: str, present: set[str]) -> str:
    return HREF.sub(lambda found: f'href="{found[1]}.html"' if f"{found[1]}.ipynb" in present else 'href="#"', text)


def copy_notebooks(source: Path, target: Path) -> None:
    """Make `target` hold the notebooks of `source`, and no others."""
    target.mkdir(exist_ok=True)
    present = {path.name for path in source.glob("*.ipynb")}
    for old in target.glob("*.ipynb"):
        if old.name not in present:
            old.unlink()
    for name in present:
        notebook = adapt(json.loads((source / name).read_text(encoding="utf-8")), present)
        notebook["cells"] = [*with_folds(notebook["cells"]), *lesson_cells(name[:2])]
        content = json.dumps(notebook, ensure_ascii=False)
        copy = target / name
        if not copy.exists() or copy.read_text(encoding="utf-8") != content:
            copy.write_text(content, encoding="utf-8", newline="\n")


def copy_before_reading(app: Sphinx, config: Any) -> None:
    docs = Path(app.confdir)
    copy_notebooks(docs.parent / "notebooks", docs / "notebooks")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", copy_before_reading)
    return {"parallel_read_safe": True}
