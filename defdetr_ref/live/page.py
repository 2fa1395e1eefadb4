"""The laboratory as one HTML file that opens from disk: the reader drags a shape, and the detector looks again."""

import base64
import json
import os
import tempfile
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template

import torch
from torch import nn

from defdetr_ref.data.drawn_sets import DRAWN_SETS
from defdetr_ref.live.modules import WEB, kernel, script
from defdetr_ref.live.weights import export_weights
from defdetr_ref.weight_files.writing import replacing

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$style
</style>
</head>
<body>
<main>
<h1>$title</h1>
<div class="laboratory">
<canvas data-part="view" style="aspect-ratio: $width / $height" tabindex="0" role="img" aria-label="The scene. Arrow
keys move the shape, plus and minus change its size, r turns it, Enter takes the next one."></canvas>
<div class="controls">
<p>Drag a shape. By keyboard: arrows move it, + and − change its size, r turns it, Enter takes the next one.</p>
<label>Decoder layer <input data-part="layer" type="range" min="1" max="1" value="1"></label>
<label>Smallest score, in hundredths <input data-part="threshold" type="range" min="1" max="99" value="30"></label>
<label><input data-part="points" type="checkbox" checked> Points of the query that sees the shape: size is weight,
colour is head</label>
<p data-part="status" role="status">The detector is being opened …</p>
<p data-part="time"></p>
</div>
</div>
<noscript>The laboratory needs JavaScript.</noscript>
</main>
<script type="module">
$script
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const bytes = async () => ({ weights: bytesOf("$weights"), kernel: bytesOf("$kernel") });
window.laboratory = await openLaboratory(document.querySelector(".laboratory"), bytes, $names, $size);
</script>
</body>
</html>
""")


def save_page(
    path: str | os.PathLike,
    model: nn.Module,
    *,
    image_size: tuple[int, int] = (128, 128),
    names: Mapping[int, str] = DRAWN_SETS["shapes"].categories,
    dtype: torch.dtype | str = torch.int8,
    title: str = "Drag a shape: the detector looks again",
) -> Path:
    """Write a page in which the reader moves shapes and sees where the detector looks. It needs no network.

    path: of the HTML file
    model: a `DeformableDETR` with the backbone "small", trained on the drawn shapes
    image_size: (height, width) of the scene, in pixels
    names: words for the labels
    dtype: of the weights in the page, see `export_weights`
    title: of the page

    Returns the path. Raises ValueError as `export_weights` does, and for an image smaller than the largest stride.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights = export_weights(Path(folder) / "model.safetensors", model, dtype).read_bytes()
    if min(image_size) < model.config.largest_stride:
        raise ValueError(
            f"save_page: image_size {image_size} is smaller than the model's largest stride of "
            f"{model.config.largest_stride} pixels; choose a larger one"
        )
    page = PAGE.substitute(
        title=escape(title),
        style=(WEB / "laboratory.css").read_text(encoding="utf-8"),
        script=script("laboratory.js"),
        weights=base64.b64encode(weights).decode(),
        kernel=base64.b64encode(kernel()).decode(),
        names=json.dumps(dict(names)).replace("</", "<\\/"),  # no name can end the script
        size=json.dumps(list(image_size)),
        height=image_size[0],
        width=image_size[1],
    )
    content = page.encode("utf-8")
    with replacing(Path(path), len(content)) as file:
        file.write(content)
    return Path(path)
