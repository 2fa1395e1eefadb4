"""The explorer as one HTML file that opens from disk: its module, its style, the table of points, and nothing else."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from torch import Tensor, nn

from defdetr_ref.explain.explorer.exploration import explore
from defdetr_ref.explain.explorer.outputs import category_names
from defdetr_ref.explain.explorer.state import State, describe
from defdetr_ref.html_page import TOLD_BY_ITS_FRAME, html_page

WEB = Path(__file__).parent / "web"
SCRIPTS = (
    "explorer_data.js",  # what the table says, and where queries are
    "explorer_scene.js",  # all that is shown at a moment
    "explorer_drawing.js",  # how it is painted
    "explorer_panels.js",  # the pictures that are painted, and their pointer and keys
    "explorer_actions.js",  # what pointer and keys mean
    "explorer_controls.js",  # buttons, lists, the legend
    "explorer_layout.js",  # where they all are
    "explorer.js",  # the whole
)
EXPORT = "export default { render };"

STYLE = """main { max-width: 72rem; }
:root { --page-around: light-dark(#e8ebee, #2c3137); --page-warning: light-dark(#8a3b00, #ffb27a); }
"""
BODY = Template("""<div id="explorer"></div>
<noscript>The explorer needs JavaScript.</noscript>
<script type="application/json" id="explorer-state">$state</script>
<script type="module">
$module
const state = JSON.parse(document.getElementById("explorer-state").textContent);
render({ model: savedModel(state), el: document.getElementById("explorer") });
</script>""")


def module_source() -> str:
    """The explorer's ES module. It is written in several files that share one scope, so no bundler is needed."""
    return "\n".join((WEB / name).read_text(encoding="utf-8") for name in SCRIPTS)


def style_source() -> str:
    return (WEB / "explorer.css").read_text(encoding="utf-8")


def open_images(
    model: nn.Module,
    images: Any,
    *,
    normalized: bool = True,
    inputs: Mapping[str, Any] | None = None,
) -> list:
    """An exploration for each image of a list, or for one image.

    model: as in `Explorer`.
    images: one, or a list of them, each as in `Explorer`.
    normalized: what tensors among them are; False if their colours are in [0, 1].
    inputs: further arguments of the model, see `explore`.

    Raises ValueError if there are none, or the model cannot take one.
    """
    images = list(images) if isinstance(images, (list, tuple)) else [images]
    if not images:
        raise ValueError("Explorer: the list of images is empty; give at least one")
    return [explore(model, image, normalized=normalized, inputs=inputs) for image in images]


def first_view(state: State) -> dict[str, Any]:
    """What is shown before anybody clicks: the best object in the last decoder layer, else the middle pixel."""
    image = state.metadata["images"][0]
    layer = image["layers"][-1]
    if layer["query_kind"] == "pixels":
        height, width = layer["shapes"][0]
        query = height // 2 * width + width // 2
    else:
        query = image["objects"]["best"][0] if image["objects"] else 0
    shown = {"image_index": 0, "part": layer["part"], "layer": layer["layer"], "query": query}
    return {**shown, "heads": list(range(layer["heads"])), "levels": list(range(layer["levels"])), "heat_map": False}


def save_explorer(
    path: str | Path,
    model: nn.Module,
    image: Any,
    *,
    normalized: bool = True,
    inputs: Mapping[str, Any] | None = None,
    categories: Mapping[int, str] | None = None,
    targets: Sequence[Mapping[str, Tensor]] | None = None,
    title: str = "Where the detector looks",
) -> Path:
    """Write the explorer into one HTML file that works from disk, without Python and without network.

    path: of the file to write.
    model: a `DeformableDETR`, or any model of transformers with multi-scale deformable attention.
    image: one image or a list of them, as in `Explorer`.
    normalized: what tensors among them are; False if their colours are in [0, 1].
    inputs: further arguments of the model, see `explore`.
    categories: names by label, to say what a query found. Models of transformers bring their own.
    targets: what is in each image, as in `Explorer`.
    title: of the page.

    Returns the path. Raises ValueError as `Explorer` does.
    """
    explorations = open_images(model, image, normalized=normalized, inputs=inputs)
    state = describe(explorations, category_names(model, categories), targets)
    return write_explorer_page(path, state, first_view(state), title)


def write_explorer_page(path: str | Path, state: State, view: Mapping[str, Any], title: str) -> Path:
    """Write what `describe` packed as one HTML file.

    path: of the file.
    state: all images, their points and objects.
    view: what is shown first, as `first_view` gives it.
    title: of the page.

    Returns the path.
    """
    values = {
        **view,
        "metadata": state.metadata,
        "table": base64.b64encode(state.table).decode(),
        "heat": base64.b64encode(state.heat).decode(),
        "status": "",
    }
    body = BODY.substitute(
        state=json.dumps(values).replace("</", "<\\/"),  # nothing in the state can end the script
        module=module_source().replace(EXPORT, ""),  # inside a page nothing imports it
    )
    page = html_page(title, body, style=STYLE + style_source(), more=TOLD_BY_ITS_FRAME)
    path = Path(path)
    path.write_text(page, encoding="utf-8", newline="\n")
    return path
