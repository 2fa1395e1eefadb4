"""Open JupyterLab on the first notebook of the course."""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from defdetr_ref.cli.notebooks import FIRST, OF_THE_CLONE, notebook_folder, trust

SETTINGS = Path(__file__).parent / "jupyter"  # without the news, whose popup hides a corner of the page
ADDRESS = "--LabApp.default_url=/lab/tree/"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr lab`."""
    parser.add_argument("--notebooks", metavar="FOLDER", help="where they are (default: notebooks/ of the clone)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address to open")


def run(args: argparse.Namespace) -> int:
    """Start JupyterLab and wait until it ends; returns its exit code."""
    notebook = first_notebook(args.notebooks)
    if importlib.util.find_spec("jupyterlab") is None:
        raise ImportError('JupyterLab is not installed here; install it with: pip install "defdetr-ref[notebooks]"')
    if notebook.parent == OF_THE_CLONE:  # others may hold anything
        trust(notebook.parent)
    return run_to_its_end(command(notebook, browser=not args.no_browser))


def first_notebook(folder: str | None) -> Path:
    """The first by name in `folder`, else in the clone. Raises FileNotFoundError if there is none."""
    place, pattern = (Path(folder), "*.ipynb") if folder else (notebook_folder(), FIRST)
    found = sorted(place.glob(pattern))
    if not found:
        raise FileNotFoundError(f"--notebooks {folder}: there is no notebook in this folder")
    return found[0]


def command(notebook: Path, browser: bool) -> list[str]:
    """JupyterLab of this very Python. A container's only user is root, whom Jupyter refuses unless told.

    The address that it prints leads to the notebook, too, for those whose browser is on another machine.
    """
    is_root = getattr(os, "geteuid", lambda: None)() == 0  # Windows has no such number
    options = [*(["--allow-root"] if is_root else []), *([] if browser else ["--no-browser"])]
    return [sys.executable, "-m", "jupyterlab", *options, f"{ADDRESS}{quote(notebook.name)}", str(notebook)]


def run_to_its_end(command: list[str]) -> int:
    """The exit code. Ctrl-C reaches Jupyter as well, which asks whether it is meant; so it is not ours to stop on."""
    settings = os.pathsep.join(filter(None, [str(SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH")]))
    server = subprocess.Popen(command, env={**os.environ, "JUPYTER_CONFIG_PATH": settings})
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            continue
