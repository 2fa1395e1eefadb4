"""The modules of defdetr_ref/live/web in a page of Chromium, with files beside them, and no server."""

import base64
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from defdetr_ref.live import kernel
from defdetr_ref.live.modules import WEB

ADDRESS = "http://live.test/"

# What every script of a test finds: files, tensors from them, and tensors packed for the way back.
PAGE = """<!doctype html><meta charset="utf-8"><title>live</title><script>
window.bytesOf = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
window.pack = (x) => {
    const bytes = new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
    let text = "";
    for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
    return { shape: [...x.shape], float32: btoa(text) };
};
window.packAll = (named) => Object.fromEntries(Object.entries(named).map(([name, x]) => [name, pack(x)]));
window.unpack = async (described) => {
    const { tensor } = await import("/web/tensor.js");
    return tensor(described.shape, new Float32Array((await bytesOf(described.file)).buffer));
};
window.unpackAll = async (named) => {
    const list = Object.entries(named).map(async ([name, described]) => [name, await unpack(described)]);
    return Object.fromEntries(await Promise.all(list));
};
</script>"""


class LivePage:
    """A page in which `run` runs an async function of JavaScript that may import "/web/….js"."""

    def __init__(self, page: Any):
        self.page = page
        self.files: dict[str, bytes] = {"kernel": kernel()}
        page.route(f"{ADDRESS}**", self.answer)
        page.goto(ADDRESS)

    def answer(self, route: Any) -> None:
        name = route.request.url.removeprefix(ADDRESS)
        if name == "":
            route.fulfill(body=PAGE, content_type="text/html")
        elif name.startswith("web/"):
            source = (WEB / name.removeprefix("web/")).read_text(encoding="utf-8")
            route.fulfill(body=source, content_type="text/javascript; charset=utf-8")
        elif name in self.files:
            route.fulfill(body=self.files[name], content_type="application/octet-stream")
        else:
            route.fulfill(status=404, body="")

    def put(self, content: bytes | Path) -> str:
        """A file that the page may fetch; returns its name."""
        name = f"file{len(self.files)}"
        self.files[name] = content if isinstance(content, bytes) else content.read_bytes()
        return name

    def put_tensor(self, tensor: Tensor) -> dict[str, Any]:
        """For `unpack` in the page."""
        content = tensor.detach().float().contiguous().numpy().tobytes()
        return {"shape": list(tensor.shape), "file": self.put(content)}

    def put_parameters(self, module: torch.nn.Module) -> dict[str, Any]:
        """For `unpackAll` in the page: the weights of one module, by name."""
        return {name: self.put_tensor(tensor) for name, tensor in module.state_dict().items()}

    def run(self, script: str, arg: Any = None) -> Any:
        """What the function answers; packed tensors become tensors."""
        return unpacked(self.page.evaluate(script, arg))


def unpacked(answer: Any) -> Any:
    if isinstance(answer, dict):
        if "float32" in answer:
            numbers = torch.frombuffer(bytearray(base64.b64decode(answer["float32"])), dtype=torch.float32)
            return numbers.reshape(answer["shape"])
        return {name: unpacked(one) for name, one in answer.items()}
    return [unpacked(one) for one in answer] if isinstance(answer, list) else answer
