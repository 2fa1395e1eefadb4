"""The detector in a web page: its forward pass once more, in JavaScript.

    live.save_page("page.html", model)      # drag a shape: the detector looks again
    live.export_weights("model.safetensors", model, torch.float16)

`web/` holds it, a plain ES module for each room of the package, with the package's names: `sampling.js` is the
operator, `attention.js` Eq. 3, and so on to `detector.js`, which returns everything that it computed. The matrix
product is in WebAssembly, `matmul.wat`, and in JavaScript for where that does not run.

On a page, `live.js` puts `window.defdetr` in place:

| call | gives |
|---|---|
| `await window.defdetr.ready` | the detector is there; rejected, with one sentence, if it cannot be |
| `window.defdetr.forward(rgb, height, width)` | its answer for one image |

`rgb` is a `Uint8ClampedArray` of the image's colours, from 0 to 255, not normalised, row by row: height · width · 3
numbers (red, green, blue), or height · width · 4 as a canvas gives them, where alpha is not looked at. The answer is an
object of flat `Float32Array`s, each with its `shape`: `pred_logits`, `pred_boxes`, and every intermediate result, which
`asOutputs` in `detector.js` lists.
"""

from defdetr_ref.live.modules import kernel, script
from defdetr_ref.live.page import save_page
from defdetr_ref.live.weights import export_weights

__all__ = ["export_weights", "kernel", "save_page", "script"]
