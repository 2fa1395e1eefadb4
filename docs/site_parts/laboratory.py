"""The laboratory on the site: pages in which a detector of the zoo runs, without Python, and links to their tours.

| directive           | shows                                                               |
|---------------------|---------------------------------------------------------------------|
| `laboratory`        | the detector alone: the page is small, and ready at once            |
| `laboratory-epochs` | with the earlier epochs of its training, several times as large     |
| `laboratory-others` | a link to it with the zoo's other detectors of the same data        |
| `laboratory-digits` | a link to it with the zoo's detector of digits                      |
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

DETECTOR, DIGITS = "shapes", "digits"
PAGE, EPOCHS_PAGE, OTHERS_PAGE, DIGITS_PAGE = (
    f"laboratory_{part}page.html" for part in ("", "epochs_", "others_", "digits_")
)
OTHERS = {  # of the zoo, and what they are called in the page
    "shapes-one-stage": "One stage, refined",
    "shapes-plain": "One stage, not refined",
    "shapes-detr": "DETR, dense attention",
}
OTHERS_LINK = '<p><a href="_static/{page}">The laboratory with {names} beside the detector</a></p>'
DIGITS_LINK = '<p><a href="_static/{page}">The laboratory of digits: draw one with the pointer</a></p>'
FRAME = '<iframe class="laboratory-frame" src="_static/{page}" title="The laboratory"></iframe>'
TOUR = re.compile(r'^    name: "([\w-]+)",\n    title: "([^"]+)"', re.MULTILINE)
LESSONS = {  # number → tour
    "04": "levels",
    "07": "refinement",
    "08": "proposal",
    "09": "duplicates",
    "10": "training",
    "11": "dense",
}
COMPARED = {"dense": ("shapes-detr", "shapes-plain"), "refined": ("shapes-one-stage", "shapes-plain")}  # tour → others


def tours() -> dict[str, str]:
    """Name → title of each guided tour that the zoo has the detectors for."""
    told = TOUR.findall((WEB / "laboratory" / "tours_told.js").read_text(encoding="utf-8"))
    return {name: title for name, title in told if set(COMPARED.get(name, ())) <= set(zoo.names())}


def others() -> dict[str, str]:
    """What the page calls the zoo's other detectors → their names."""
    return {words: name for name, words in OTHERS.items() if name in zoo.names()}


def tour_link(name: str, depth: int) -> str:
    """HTML that leads to a tour, from a page `depth` folders down."""
    place = "../" * depth
    page = OTHERS_PAGE if name in COMPARED else EPOCHS_PAGE
    return f'<a href="{place}_static/{page}#tour={name}">{tours()[name]}</a>'


def lesson_cells(number: str) -> list[dict[str, Any]]:
    """What the site adds to the lesson with this number: a cell with a link, or nothing."""
    if LESSONS.get(number) not in tours():
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


class LaboratoryWithOthers(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        names = " and ".join(f"“{words}”" for words in others())
        return [nodes.raw("", OTHERS_LINK.format(page=OTHERS_PAGE, names=names), format="html")]


class LaboratoryOfDigits(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", DIGITS_LINK.format(page=DIGITS_PAGE), format="html")]


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
        live.save_page(folder / OTHERS_PAGE, model, others={words: zoo.load(name) for words, name in others().items()})
        title = "Draw a digit: the detector looks"
        live.save_page(folder / DIGITS_PAGE, zoo.load(DIGITS), title=title)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("laboratory", LaboratoryDirective)
    app.add_directive("laboratory-epochs", LaboratoryWithEpochs)
    app.add_directive("laboratory-others", LaboratoryWithOthers)
    app.add_directive("laboratory-digits", LaboratoryOfDigits)
    app.add_directive("tours", ToursDirective)
    app.connect("build-finished", write_pages)
    return {"parallel_read_safe": True}
