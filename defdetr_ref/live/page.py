"""The laboratory as one HTML file that opens from disk: the reader drags a shape, and the detector looks again."""

import base64
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import torch
from torch import nn

from defdetr_ref.data.drawn_sets import DRAWN_SETS
from defdetr_ref.dense import DetrBaseline
from defdetr_ref.html_page import TOLD_BY_ITS_FRAME, html_page
from defdetr_ref.live.modules import WEB, kernel, script
from defdetr_ref.live.weights import export_weights
from defdetr_ref.weight_files.writing import replacing

BODY = Template("""<div class="laboratory">
$laboratory
</div>
<noscript>The laboratory needs JavaScript.</noscript>
$stored
<script type="module">
$script
window.laboratory = await openLaboratory(document.querySelector(".laboratory"), storedPage());
</script>""")
STORED = '<script type="text/plain" data-stored="{part}">{text}</script>\n'
MODEL = "model"  # id of the first one
SHOWN = ("encoder_layers", "decoder_layers", "num_heads", "num_levels", "two_stage", "box_refine")  # of a config
LABORATORY = WEB / "laboratory"


@dataclass(frozen=True)
class PageModel:
    """A model of the page. id: in links; words: for the reader; epoch: how long it was trained, if that is told."""

    id: str
    words: str
    model: nn.Module
    epoch: int | None = None

    def described(self) -> dict[str, Any]:
        """For `Models` in models.js."""
        config = {name: getattr(self.model.config, name) for name in SHOWN}
        config["dense"] = isinstance(self.model, DetrBaseline)
        if config["dense"]:  # it ignores them
            config |= {"two_stage": False, "box_refine": False}
        epoch = {} if self.epoch is None else {"epoch": self.epoch}
        return {"id": self.id, "words": self.words, "config": config, **epoch}


def save_page(
    path: str | os.PathLike,
    model: nn.Module,
    *,
    epochs: Mapping[int, nn.Module] | None = None,
    others: Mapping[str, nn.Module] | None = None,
    image_size: tuple[int, int] = (128, 128),
    names: Mapping[int, str] | None = None,
    dtype: torch.dtype | str = torch.int8,
    title: str = "Drag a shape: the detector looks again",
) -> Path:
    """Write a page in which the reader moves shapes and sees where the detector looks. It needs no network.

    path: of the HTML file
    model: a `DeformableDETR` or `DetrBaseline` with the backbone "small", trained on the drawn shapes, or on digits,
        which are drawn by hand in the page
    epochs: the same training after fewer epochs, by their number; each adds as much to the file as the model
    others: further models to look at and to lay beside it, by what they are called in the page
    image_size: (height, width) of the scene, in pixels
    names: words for the labels; without them those of the drawn digits for a model with as many classes, else of the
        drawn shapes
    dtype: of the weights in the page, see `export_weights`
    title: of the page

    Returns the path. Raises ValueError as `export_weights` does, for an image smaller than the largest stride of a
    model, and for a model without a name or with one that another has.
    """
    models = [
        PageModel(MODEL, "The trained model" if epochs else "The model", model),
        *(PageModel(f"epoch-{epoch}", f"After epoch {epoch}", early, epoch) for epoch, early in (epochs or {}).items()),
        *(PageModel(name, name, other) for name, other in (others or {}).items()),
    ]
    require_names(models)
    weights = [exported(each.model, dtype) for each in models]
    if names is None:
        digits = DRAWN_SETS["digits"].categories
        names = digits if model.config.num_classes == 1 + max(digits) else DRAWN_SETS["shapes"].categories
    for each in models:
        if min(image_size) < each.model.config.largest_stride:
            raise ValueError(
                f"save_page: image_size {image_size} is smaller than the largest stride of the model "
                f"{each.id!r}, {each.model.config.largest_stride} pixels; choose a larger one"
            )
    facts = {"names": dict(names), "size": list(image_size), "described": [each.described() for each in models]}
    stored = {"page": json.dumps(facts).replace("</", "<\\/")}  # no name can end the script
    stored |= {str(number): base64.b64encode(each).decode() for number, each in enumerate(weights)}
    stored["kernel"] = base64.b64encode(kernel()).decode()
    body = BODY.substitute(
        laboratory=(LABORATORY / "laboratory.html").read_text(encoding="utf-8"),
        script=script("laboratory/laboratory.js"),
        stored="".join(STORED.format(part=part, text=text) for part, text in stored.items()),
    )
    style = (LABORATORY / "laboratory.css").read_text(encoding="utf-8")
    content = html_page(title, body, style=style, more=TOLD_BY_ITS_FRAME).encode("utf-8")
    with replacing(Path(path), len(content)) as file:
        file.write(content)
    return Path(path)


def require_names(models: list[PageModel]) -> None:
    """Raises ValueError unless each model of the page can be told from the others."""
    taken = {"", "uncut"}  # as what is laid beside a model, they say nothing and the model without cuts
    for each in models:
        if each.id in taken:
            raise ValueError(f"save_page: a model cannot be called {each.id!r}; give each a name of its own")
        taken.add(each.id)


def exported(model: nn.Module, dtype: torch.dtype | str) -> bytes:
    """The bytes of the file of weights."""
    with tempfile.TemporaryDirectory() as folder:
        return export_weights(Path(folder) / "model.safetensors", model, dtype).read_bytes()
