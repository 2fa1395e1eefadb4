"""The modules as one script, in a page that opens from disk."""

import base64
import re

import torch

from defdetr_ref import live
from defdetr_ref.live.modules import WEB, modules_before
from tests.live.in_page import unpacked
from tests.live.models import colours, live_model, normalised

PAGE = """<!doctype html>
<meta charset="utf-8">
<script type="module">
{script}
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
install(() => ({{ weights: bytes("{weights}"), kernel: bytes("{kernel}") }}));
</script>
"""
FORWARD = """async ({ rgb, height, width }) => {
    await window.defdetr.ready;
    const bytes = Uint8ClampedArray.from(atob(rgb), (letter) => letter.charCodeAt(0));
    const { pred_boxes: boxes } = window.defdetr.forward(bytes, height, width);
    return { boxes: Array.from(boxes), shape: boxes.shape, flat: boxes instanceof Float32Array };
}"""


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_one_script_runs_in_a_page_from_disk(page, tmp_path):
    model = live_model(feature_strides=(8,), num_levels=2, box_refine=True, decoder_layers=1)
    weights = live.export_weights(tmp_path / "model.safetensors", model, "float32").read_bytes()
    html = PAGE.format(script=live.script(), weights=coded(weights), kernel=coded(live.kernel()))
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    rgb = colours(33, 46)
    found = unpacked(page.evaluate(FORWARD, {"rgb": coded(rgb.numpy().tobytes()), "height": 33, "width": 46}))
    with torch.no_grad():
        wanted = model(normalised(rgb))["pred_boxes"][0]
    assert found["flat"] and found["shape"] == list(wanted.shape)
    torch.testing.assert_close(torch.tensor(found["boxes"]).view_as(wanted), wanted, atol=1e-6, rtol=0)


def test_every_module_is_in_the_script_after_those_it_imports():
    laboratory = "laboratory/laboratory.js"
    order = modules_before(laboratory)
    assert sorted(order) == sorted(path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js"))
    for name in order:
        imported = re.findall(r'from "(\.[\w./]+)"', (WEB / name).read_text(encoding="utf-8"))
        paths = [((WEB / name).parent / each).resolve().relative_to(WEB.resolve()).as_posix() for each in imported]
        assert all(order.index(each) < order.index(name) for each in paths)
    assert not re.search(r"^\s*(import|export)\b", live.script(laboratory), re.MULTILINE)
