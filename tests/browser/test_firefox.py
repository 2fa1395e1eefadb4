"""The laboratory in Firefox, opened from disk: its detector says what PyTorch says.

Playwright drives no Firefox but its own builds, so the page itself computes, and sends what it found to the test.
"""

import http.server
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator

import pytest
import torch

from defdetr_ref import live
from tests.browser.chromium import unavailable
from tests.browser.waiting import PATIENCE
from tests.live.models import colours, live_model, normalised
from tests.live.test_detector import assert_same_detections

NAMES = ("firefox", "firefox-esr")
SIZES = [(64, 96), (83, 71)]  # height, width
SAYS = """<script>
window.tell = (said) => fetch("{address}", {{ method: "POST", mode: "no-cors", body: JSON.stringify(said) }});
tell({{ here: navigator.userAgent }});
window.addEventListener("error", ({{ message }}) => tell({{ error: message }}));
</script>
"""
COMPUTES = """<script type="module">
const plain = (answer) => Object.fromEntries(
  Object.entries(answer).map(([name, x]) => [name, {{ shape: [...x.shape], numbers: Array.from(x) }}]),
);
try {{
  await window.defdetr.ready;
  const look = ([height, width, rgb]) => window.defdetr.forward(new Uint8ClampedArray(rgb), height, width);
  tell({{ answers: {images}.map(look).map(plain) }});
}} catch (error) {{
  tell({{ error: error.message }});
}}
</script>
"""


@pytest.fixture
def inbox() -> Iterator[tuple[str, queue.Queue]]:
    """Where a page may send JSON to, and what has come."""
    came = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            came.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", came
    server.shutdown()
    server.server_close()


@pytest.fixture
def opened(tmp_path) -> Iterator:
    """A function that opens a page, a Path, in Firefox."""
    executable = next((path for path in map(shutil.which, NAMES) if path), None)
    if executable is None:
        unavailable("no Firefox is installed (Debian: apt-get install firefox-esr)")
    profile, running = tmp_path / "profile", []
    profile.mkdir()
    command = [executable, "--headless", "--no-remote", "--profile", profile]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    yield lambda path: running.append(subprocess.Popen([*command, path.as_uri()], **quiet))
    for process in running:
        process.terminate()
        process.wait()


def test_firefox_finds_what_pytorch_finds(opened, inbox, tmp_path):
    fields = dict(feature_strides=(8, 16), num_levels=3, encoder_layers=2, box_refine=True, two_stage=True)
    model = live_model(**fields, num_classes=6)
    images = [colours(*size) for size in SIZES]
    address, came = inbox
    path = live.save_page(tmp_path / "page.html", model, image_size=SIZES[0], dtype="float32")
    page = path.read_text(encoding="utf-8")
    listed = json.dumps([[*size, rgb.flatten().tolist()] for size, rgb in zip(SIZES, images, strict=True)])
    page = page.replace("<main>", SAYS.format(address=address) + "<main>")
    page = page.replace("</main>", COMPUTES.format(images=listed) + "</main>")
    path.write_text(page, encoding="utf-8")
    opened(path)
    try:
        came.get(timeout=PATIENCE / 1000)
    except queue.Empty:
        unavailable("Firefox is installed, but opens no page from this folder")
    said = came.get(timeout=PATIENCE / 1000)
    assert "error" not in said, said
    for rgb, answer in zip(images, said["answers"], strict=True):
        found = {name: torch.tensor(x["numbers"]).view(x["shape"]) for name, x in answer.items()}
        with torch.no_grad():
            assert_same_detections(found, model(normalised(rgb)))
