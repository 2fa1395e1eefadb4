"""The explorer: move a query over an image and see where every head reads on every level.

    Explorer(model, image)        # the last line of a notebook cell

One forward pass is recorded when it is made; a click only picks from the record. The widget is an anywidget: a plain ES
module that JupyterLab, VS Code and Colab load as it is. Most clicks are answered in the browser, from a table of points
that goes along with it, and those that are not in the table by Python. So it also works in a page without Python.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from torch import Tensor, nn

from defdetr_ref.explain.explorer.exploration import Exploration, Points
from defdetr_ref.explain.explorer.fit import fitted
from defdetr_ref.explain.explorer.outputs import category_names
from defdetr_ref.explain.explorer.page import first_view, module_source, open_images, style_source, write_explorer_page
from defdetr_ref.explain.explorer.state import describe
from defdetr_ref.explain.explorer.table import pack_rows

try:
    import anywidget
except ImportError as error:
    raise ImportError(
        "Explorer needs the package anywidget, which is not installed here: pip install 'defdetr-ref[notebooks]'"
    ) from error

VIEW = ("image_index", "part", "layer", "query", "heads", "levels", "heat_map")


class NotThere(traitlets.TraitError, ValueError):
    """A part, layer, query, head or level that the model does not have. traitlets puts back what was there before."""


class Explorer(anywidget.AnyWidget):
    """Where a model looks: click or drag a query, switch layer, heads and levels, see boxes move and pixels propose.

    model: a `DeformableDETR`, or any model of transformers with multi-scale deformable attention.
    image: a PIL image, an array (height, width, 3) of bytes, a tensor (3, height, width), or a list of these. A tensor
        is normalised as the data sets give it, or has colours in [0, 1] with normalized=False.
    normalized: what the tensors are.
    inputs: further arguments of the model, see `explore`.
    categories: names by label, to say what a query found. Models of transformers bring their own.
    targets: what is in each image, to show the true boxes: a list of {"labels": (n,), "boxes": (n, 4)}, one for each
        image, cxcywh in [0, 1], as the data sets give them.

    The view can also be set and read from Python: `explorer.part`, `layer`, `query`, `heads`, `levels`, `heat_map`,
    `image_index`, all counted from 0. `explorer.points()` gives the numbers, `explorer.save(path)` writes a page.

    Raises ValueError, in one sentence, for an image that the model cannot take, a model without deformable attention,
    and a part, layer, query, head or level that is not there. The widget then stays what it was.
    """

    _esm = module_source()
    _css = style_source()

    metadata = traitlets.Dict().tag(sync=True)
    table = traitlets.Bytes().tag(sync=True)
    heat = traitlets.Bytes().tag(sync=True)
    image_index = traitlets.Int().tag(sync=True)
    part = traitlets.Unicode().tag(sync=True)
    layer = traitlets.Int().tag(sync=True)
    query = traitlets.Int().tag(sync=True)
    heads = traitlets.List(traitlets.Int()).tag(sync=True)
    levels = traitlets.List(traitlets.Int()).tag(sync=True)
    heat_map = traitlets.Bool().tag(sync=True)
    query_points = traitlets.Bytes().tag(sync=True)  # the points of the query shown: see `_send_answer`
    status = traitlets.Unicode().tag(sync=True)  # one sentence, below the picture

    def __init__(
        self,
        model: nn.Module,
        image: Any,
        *,
        normalized: bool = True,
        inputs: Mapping[str, Any] | None = None,
        categories: Mapping[int, str] | None = None,
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> None:
        self._model, self._options = model, {"normalized": normalized, "inputs": inputs}
        self._names = category_names(model, categories)
        self._explorations = open_images(model, image, **self._options)
        self._state = describe(self._explorations, self._names, targets)
        self._asked: frozenset[str] = frozenset()
        super().__init__(**self._contents(), **first_view(self._state))
        self._settled = self._view()
        self.observe(lambda _: self._fit(), VIEW)
        self.observe(lambda _: self._send_answer(), ["image_index", "part", "layer", "query"])
        self._send_answer()

    @property
    def exploration(self) -> Exploration:
        """Of the image shown."""
        return self._explorations[self.image_index]

    def points(self, query: int | None = None, *, part: str | None = None, layer: int | None = None) -> Points:
        """Reference, locations and weights, in [0, 1] of the image. What is left out is what is shown.

        Raises ValueError for a part, layer or query that is not there.
        """
        return self.exploration.points(
            self.part if part is None else part,
            self.layer if layer is None else layer,
            self.query if query is None else query,
        )

    def show(self, image: Any, targets: Sequence[Mapping[str, Tensor]] | None = None) -> None:
        """Another image, or several, in the same widget. Raises ValueError if the model cannot take it."""
        try:
            explorations = open_images(self._model, image, **self._options)
            state = describe(explorations, self._names, targets)
        except ValueError as error:
            self.status = str(error)
            raise
        self._explorations, self._state = explorations, state
        with self.hold_sync(), self.hold_trait_notifications():
            self.set_trait("status", "")
            for name, value in (self._contents() | first_view(self._state)).items():
                self.set_trait(name, value)
            self._settled = self._view()
            self._send_answer()  # in the same message: the page must not take the old answer for one of this image

    def save(self, path: str | Path, title: str = "Where the detector looks") -> Path:
        """Write what is shown into one HTML file that works from disk, without Python and network; returns its path."""
        return write_explorer_page(path, self._state, self._view(), title)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """What the page asks for. What is not there is told in the page, and it gets the old view back."""
        self.status = ""
        self._asked = frozenset(sync_data)
        try:
            super().set_state(sync_data)
        except NotThere as error:
            self.status = str(error)  # again: traitlets has put everything back, `status` too
            self.send_state(list(VIEW))
        finally:
            self._asked = frozenset()

    def _view(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in VIEW}

    def _contents(self) -> dict[str, Any]:
        return {"metadata": self._state.metadata, "table": self._state.table, "heat": self._state.heat}

    def _send_answer(self) -> None:
        """The row of the query shown, after three 32-bit integers that say of which image, layer and query it is."""
        of = [(layer["part"], layer["layer"]) for layer in self._about_image()["layers"]]
        header = np.array([self.image_index, of.index((self.part, self.layer)), self.query], "<i4")
        self.query_points = header.tobytes() + pack_rows(self.exploration, self.part, self.layer, [self.query])

    def _fit(self) -> None:
        """After a change of the view: what was not asked for follows, see `fitted`."""
        before, now = self._settled, self._view()
        if now == before:
            return
        asked = self._asked | {name for name in VIEW if now[name] != before[name]}
        self._settled = fitted(self._state.metadata, before, now, asked)
        with self.hold_sync(), self.hold_trait_notifications():
            for name, value in self._settled.items():
                self.set_trait(name, value)

    def _about_image(self) -> dict[str, Any]:
        return self._state.metadata["images"][self.image_index]

    @traitlets.validate("image_index")
    def _check_image(self, proposal: Any) -> int:
        return self._in_range("image_index", proposal.value, len(self._explorations), "images")

    @traitlets.validate("part", "layer", "query")
    def _check_query(self, proposal: Any) -> Any:
        wanted = {"part": self.part, "layer": self.layer, "query": self.query, proposal.trait.name: proposal.value}
        if proposal.trait.name == "part":  # layer and query follow, see `_fit`
            wanted |= {"layer": 0, "query": 0}
        if proposal.trait.name == "layer":
            wanted["query"] = 0
        try:
            self.exploration.points(**wanted)
        except ValueError as error:
            self._refuse(str(error))
        return proposal.value

    @traitlets.validate("heads", "levels")
    def _check_shown(self, proposal: Any) -> list[int]:
        heads, levels = self.exploration.record_of(self.part, self.layer).attention_weights.shape[2:4]
        name = proposal.trait.name
        for index in proposal.value:
            self._in_range(name, index, heads if name == "heads" else levels, name)
        return sorted(set(proposal.value))

    def _in_range(self, name: str, index: int, count: int, things: str) -> int:
        if not 0 <= index < count:
            self._refuse(f"{name}: {index} is out of range, there are {count} {things} (0 to {count - 1})")
        return index

    def _refuse(self, sentence: str) -> None:
        self.status = sentence
        raise NotThere(sentence)
