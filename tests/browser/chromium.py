"""One headless Chromium for all browser tests. Where there is none they skip, unless DEFDETR_REQUIRE_BROWSER is 1.

With DEFDETR_LATE_FRAMES=150 every animation frame of a page comes 150 ms late, as on a slow machine.
"""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.browser.waiting import LATE_FRAMES, PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
REQUIRED = os.environ.get("DEFDETR_REQUIRE_BROWSER") == "1"
LATE = int(os.environ.get("DEFDETR_LATE_FRAMES") or 0)  # ms


def unavailable(reason: str) -> None:
    if REQUIRED:
        pytest.fail(f"{reason}, and DEFDETR_REQUIRE_BROWSER is 1")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Two live contexts of sync_playwright fail, so there is one for the whole session."""
    executable = next((path for path in map(shutil.which, NAMES) if path), None)
    if executable is None:
        unavailable("no Chromium is installed (Debian: apt-get install chromium)")
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        unavailable("the package playwright is not installed")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser) -> Iterator:
    """A fresh page; an error in its scripts fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 1100}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    if LATE:
        context.add_init_script(LATE_FRAMES % LATE)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []
