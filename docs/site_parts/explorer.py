"""The explorer on the site: one file without Python, made from the recording of a trained model.

A build cannot train. So what the model did on a few images is stored (docs/explorer/recording.npz: places, weights,
boxes and scores of every query, but no weights of the model), and the page around it is made anew at every build.
`python docs/explorer/record.py` stores another recording.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from defdetr_ref.explain.explorer.page import first_view, write_explorer_page
from defdetr_ref.explain.explorer.state import State

RECORDING = Path("explorer") / "recording.npz"
PAGE = "explorer_page.html"
FRAME = '<iframe class="explorer-frame" src="_static/{page}" title="The explorer"></iframe>'


def read_recording(path: Path) -> tuple[State, dict[str, Any]]:
    """What the page shows, and where it is from: {"epochs_done", "epochs", "command", "images", …}."""
    with np.load(path, allow_pickle=False) as content:
        metadata = json.loads(content["metadata"].tobytes())
        origin = json.loads(content["origin"].tobytes())
        return State(metadata, content["table"].tobytes(), content["heat"].tobytes()), origin


def write_recording(path: Path, state: State, origin: dict[str, Any]) -> None:
    """The opposite of `read_recording`."""
    packed = {"metadata": json.dumps(state.metadata).encode(), "origin": json.dumps(origin).encode()}
    packed |= {"table": state.table, "heat": state.heat}
    np.savez_compressed(path, **{name: np.frombuffer(content, np.uint8) for name, content in packed.items()})


class ExplorerDirective(SphinxDirective):
    """The explorer in a frame, and one sentence on the model in it."""

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.app.confdir) / RECORDING
        self.env.note_dependency(str(path))
        _, origin = read_recording(path)
        return [
            nodes.raw("", FRAME.format(page=PAGE), format="html"),
            *self.parse_text_to_nodes(
                f"The model in it is the preset `{origin['preset']}`, trained by `{origin['command']}` for "
                f"{origin['epochs_done']} of {origin['epochs']} epochs. The images are the first {origin['images']} "
                f"validation images with at least {origin['least_objects']} objects, not chosen by hand."
            ),
        ]


def write_page(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        state, _ = read_recording(Path(app.confdir) / RECORDING)
        write_explorer_page(Path(app.outdir) / "_static" / PAGE, state, first_view(state), "Where the detector looks")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("explorer", ExplorerDirective)
    app.connect("build-finished", write_page)
    return {"parallel_read_safe": True}
