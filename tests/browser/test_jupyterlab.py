"""One smoke test in real JupyterLab: the explorer appears, and Python answers a click with the exact points."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.browser.waiting import changes, holds, shows
from tests.servers import address_of

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.slow
pytest.importorskip("jupyterlab")
pytest.importorskip("anywidget")

RUN_SECONDS = 300  # this only ends the wait for what never comes
ANSWERED = "() => ({ ...document.querySelector('.defdetr-explorer').dataset })"
CELLS = [
    """
import torch
from defdetr_ref import DeformableDETR, DeformableDETRConfig, explain
torch.manual_seed(0)
model = DeformableDETR(DeformableDETRConfig.preset("tiny", num_classes=6)).eval()
explorer = explain.Explorer(model, torch.randn(3, 128, 160))
explorer
""",
    "explorer.layer = 9",
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """A server of its own, without news, on a folder with one notebook; its address."""
    folder, settings = tmp_path / "work", tmp_path / "config" / "labconfig"
    folder.mkdir()
    settings.mkdir(parents=True)
    no_news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}  # its popup hides the page
    (settings / "page_config.json").write_text(json.dumps(no_news), encoding="utf-8")
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "explore.ipynb")
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root",
        "--LabApp.expose_app_in_browser=True", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True",
        f"--LabApp.user_settings_dir={tmp_path / 'user'}", f"--LabApp.workspaces_dir={tmp_path / 'spaces'}",
    ]  # fmt: skip
    places = {
        "JUPYTER_CONFIG_DIR": tmp_path / "config",
        "JUPYTER_DATA_DIR": tmp_path / "data",
        "JUPYTER_RUNTIME_DIR": tmp_path / "run",
    }
    environment = {**os.environ, **{name: str(place) for name, place in places.items()}}
    environment.pop("JUPYTER_PATH", None)
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield address_of(server, r"http://127\.0\.0\.1:\d+/lab").group()
    finally:
        server.terminate()
        server.wait(timeout=60)


def run_all(page, address: str) -> None:
    page.goto(f"{address}/tree/explore.ipynb")
    seconds = 1000 * RUN_SECONDS
    page.wait_for_function(
        """() => {
            const context = window.jupyterapp?.shell?.currentWidget?.context?.sessionContext;
            return context?.isReady && context.session?.kernel?.status === "idle";
        }""",
        timeout=seconds,
    )
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".defdetr-explorer[data-drawn]", timeout=seconds)
    page.wait_for_selector("text=NotThere: layer: 9", timeout=seconds)


def test_a_click_is_answered_in_jupyterlab(page, lab):
    page.set_viewport_size({"width": 1300, "height": 1000})
    run_all(page, lab)
    root, status = page.locator(".defdetr-explorer"), page.locator(".dd-status")
    shows(page, part="decoder", points=48)
    # The refused layer is told in the cell and in the widget, which goes on.
    expect(status).to_have_text("layer: 9 is out of range, the decoder has 3 layers (0 to 2)")

    objects = root.get_by_role("combobox", name="Object")
    for place in (3, 1, 2):
        with changes(page, "() => document.querySelector('.defdetr-explorer').dataset.query"):
            objects.select_option(index=place)
        query = holds(page, ANSWERED, "({ query, shown, answered }) => query === shown && query === answered")["query"]
        expect(objects).to_have_value(query)
        shows(page, points=48)  # the exact ones, from Python
        expect(status).to_have_text("")

    root.get_by_text("Encoder: pixels ask").click()
    shows(page, part="encoder")
    with changes(page, "() => document.querySelector('.defdetr-explorer').dataset.query"):
        root.locator("canvas.dd-image").focus()
        page.keyboard.press("ArrowRight")  # the notebook must not take the key
    holds(page, ANSWERED, "({ query, shown, answered }) => query === shown && query === answered")
    shows(page, part="encoder")
