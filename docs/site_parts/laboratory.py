"""The laboratory on the site: pages in which a detector of the zoo runs, without Python, and links to their tours.

| directive           | shows                                                               |
|---------------------|---------------------------------------------------------------------|
| `laboratory`        | the detector alone: the page is small, and ready at once            |
| `laboratory-epochs` | with the earlier epochs of its training, several times as large     |
| `tours`             | links to the guided tours                                           |

A lesson to which a tour belongs gets a link to it at its end.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from defdetr_ref import live, zoo
from defdetr_ref.live.modules import WEB

DETECTOR = "shapes"
PAGE, EPOCHS_PAGE = "laboratory_page.html", "laboratory_epochs_page.html"
FRAME = '<iframe class="laboratory-frame" src="_static/{page}" title="The laboratory"></iframe>'
TOUR = re.compile(r'^    name: "([\w-]+)",\n    title: "([^"]+)"', re.MULTILINE)
LESSONS = {"04": "levels", "07": "refinement", "08": "proposal", "09": "duplicates", "10": "training"}  # number → tour


def tours() -> dict[str, str]:
    """Name → title of each guided tour."""
    return dict(TOUR.findall((WEB / "laboratory" / "tours_told.js").read_text(encoding="utf-8")))


def tour_link(name: str, depth: int) -> str:
    """HTML that leads to a tour, from a page `depth` folders down."""
    place = "../" * depth
    return f'<a href="{place}_static/{EPOCHS_PAGE}#tour={name}">{tours()[name]}</a>'


def lesson_cells(number: str) -> list[dict[str, Any]]:
    """What the site adds to the lesson with this number: a cell with a link, or nothing."""
    if number not in LESSONS:
        return []
    text = (
        f"**In the laboratory:** {tour_link(LESSONS[number], depth=1)}, a guided tour with a detector that runs there."
    )
    return [{"cell_type": "markdown", "id": f"laboratory-{number}", "metadata": {}, "source": text}]


class LaboratoryDirective(SphinxDirective):
    page = PAGE

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", FRAME.format(page=self.page), format="html")]


class LaboratoryWithEpochs(LaboratoryDirective):
    page = EPOCHS_PAGE


class ToursDirective(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        items = "".join(f"<li>{tour_link(name, depth=0)}</li>" for name in tours())
        return [nodes.raw("", f"<ul>{items}</ul>", format="html")]


def write_pages(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / "_static"
        model = zoo.load(DETECTOR)
        epochs = {int(epoch): zoo.load(DETECTOR, int(epoch)) for epoch in zoo.card(DETECTOR)["epochs"]}
        live.save_page(folder / PAGE, model)
        live.save_page(folder / EPOCHS_PAGE, model, epochs=epochs)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("laboratory", LaboratoryDirective)
    app.add_directive("laboratory-epochs", LaboratoryWithEpochs)
    app.add_directive("tours", ToursDirective)
    app.connect("build-finished", write_pages)
    return {"parallel_read_safe": True}
