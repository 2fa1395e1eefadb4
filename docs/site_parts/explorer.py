"""The explorer on the site: one file without Python, in which a trained detector of the zoo looks at a few images."""

from itertools import count
from pathlib import Path

import torch
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from torch import Tensor

from defdetr_ref import zoo
from defdetr_ref.boxes import xyxy_to_cxcywh
from defdetr_ref.data.coco import learnable_boxes
from defdetr_ref.data.drawn_sets import DRAWN_SETS
from defdetr_ref.data.shapes import ShapesConfig, draw_shapes
from defdetr_ref.data.transforms import normalize
from defdetr_ref.data.writing import image_generator
from defdetr_ref.explain.explorer.page import first_view, open_images, write_explorer_page
from defdetr_ref.explain.explorer.state import State, describe

DETECTOR = "shapes"
IMAGES, LEAST_OBJECTS = 2, 3
PAGE = "explorer_page.html"
FRAME = '<iframe class="explorer-frame" src="_static/{page}" title="The explorer"></iframe>'


def shown_images() -> list[tuple[Tensor, dict[str, Tensor]]]:
    """The first images with enough objects of the set on which the detector's card judges it.

    Each is normalised, (3, H, W), and has its target: labels, and boxes (n, 4) cxcywh in [0, 1].
    """
    config, seed = ShapesConfig(), zoo.card(DETECTOR)["test"]["seed"]
    images: list[tuple[Tensor, dict[str, Tensor]]] = []
    for index in count():
        drawn = draw_shapes(config, image_generator(seed, "val", index))
        boxes, labels = learnable_boxes(drawn.annotations, config.size)
        if len(labels) >= LEAST_OBJECTS:
            height, width = config.size
            shares = torch.from_numpy(boxes) / torch.tensor([width, height, width, height])
            target = {"labels": torch.from_numpy(labels), "boxes": xyxy_to_cxcywh(shares)}
            images.append((normalize(Image.fromarray(drawn.pixels)), target))
        if len(images) == IMAGES:
            return images


def explorer_state() -> State:
    """Everything that the page shows."""
    images, targets = zip(*shown_images(), strict=True)
    return describe(open_images(zoo.load(DETECTOR), images), DRAWN_SETS[DETECTOR].categories, targets)


class ExplorerDirective(SphinxDirective):
    """The explorer in a frame, and one sentence on the model in it."""

    def run(self) -> list[nodes.Node]:
        card = zoo.card(DETECTOR)
        return [
            nodes.raw("", FRAME.format(page=PAGE), format="html"),
            *self.parse_text_to_nodes(
                f"The model in it is `zoo:{DETECTOR}`, trained by `{card['command']}`: AP "
                f"{100 * card['metrics']['AP']:.1f} on {card['test']['images']} images that it had not seen. The two "
                f"here are the first of those with at least {LEAST_OBJECTS} objects, not chosen by hand."
            ),
        ]


def write_page(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        state = explorer_state()
        write_explorer_page(Path(app.outdir) / "_static" / PAGE, state, first_view(state), "Where the detector looks")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("explorer", ExplorerDirective)
    app.connect("build-finished", write_page)
    return {"parallel_read_safe": True}
