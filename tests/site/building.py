"""Build the site once for all tests, as `make docs` does: warnings are errors."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@functools.cache
def build() -> tuple[Path, subprocess.CompletedProcess]:
    """The folder of the built site, and the finished build."""
    folder = tempfile.mkdtemp(prefix="defdetr-site-")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), folder]
    # No proxy answers at this address, so a build that asks the network for something fails.
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **offline})
    return Path(folder), done


def pages() -> list[Path]:
    """All pages of the built site."""
    folder, _ = build()
    return sorted(folder.rglob("*.html"))
