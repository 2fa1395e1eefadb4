"""Open JupyterLab on the first notebook of the course."""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import defdetr_ref

REPOSITORY = "https://github.com/defdetr-ref/defdetr-ref"
PLACES = (Path(defdetr_ref.__file__).parents[1] / "notebooks", Path("notebooks"))  # of a clone; of the folder one is in


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr lab`."""
    parser.add_argument("--notebooks", metavar="FOLDER", help="where they are (default: notebooks/ of the clone)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address to open")


def run(args: argparse.Namespace) -> int:
    """Start JupyterLab and wait until it ends; returns its exit code."""
    notebook = first_notebook(args.notebooks)
    if importlib.util.find_spec("jupyterlab") is None:
        raise ImportError('JupyterLab is not installed here; install it with: pip install "defdetr-ref[notebooks]"')
    return run_to_its_end(command(notebook, browser=not args.no_browser))


def first_notebook(folder: str | None) -> Path:
    """The first by name in `folder`, else in the clone. Raises FileNotFoundError if there is none."""
    places = (Path(folder),) if folder else PLACES
    for place in places:
        if found := sorted(place.glob("*.ipynb" if folder else "00_*.ipynb")):
            return found[0]
    if folder:
        raise FileNotFoundError(f"--notebooks {folder}: there is no notebook in this folder")
    raise FileNotFoundError(
        f"the notebooks are not part of the installed package: run `git clone {REPOSITORY}` and name its folder "
        "notebooks with --notebooks"
    )


def command(notebook: Path, browser: bool) -> list[str]:
    """JupyterLab of this very Python. A container's only user is root, whom Jupyter refuses unless told."""
    is_root = getattr(os, "geteuid", lambda: None)() == 0  # Windows has no such number
    options = [*(["--allow-root"] if is_root else []), *([] if browser else ["--no-browser"])]
    return [sys.executable, "-m", "jupyterlab", *options, str(notebook)]


def run_to_its_end(command: list[str]) -> int:
    """The exit code. Ctrl-C reaches Jupyter as well, which asks whether it is meant; so it is not ours to stop on."""
    server = subprocess.Popen(command)
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            continue
