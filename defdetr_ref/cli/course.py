"""Copy the notebooks into a new folder to work in, so that answers never lie in tracked files."""

import argparse
import importlib.util
import json
import re
from pathlib import Path

from defdetr_ref.cli.notebooks import REPOSITORY, notebook_folder, trust

DOCS = re.compile(r"\]\(\.\./docs/")  # a link to a page beside the notebooks, which no copy has


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr course`."""
    parser.add_argument("folder", metavar="NEW_FOLDER", help="one that is not there yet, or empty")
    parser.add_argument("--notebooks", metavar="FOLDER", help="where they are (default: notebooks/ of the clone)")


def run(args: argparse.Namespace) -> None:
    """Copy all notebooks and say how to open them."""
    source = Path(args.notebooks) if args.notebooks else notebook_folder()
    paths = sorted(source.glob("*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"--notebooks {source}: there is no notebook in this folder")
    target = Path(args.folder)
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file; name a new folder")
    if target.is_dir() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty, and what is in it stays as it is; name a new folder")
    target.mkdir(parents=True, exist_ok=True)
    for path in paths:
        (target / path.name).write_text(copied(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    if args.notebooks is None and importlib.util.find_spec("nbformat"):
        trust(target)
    print(f"{len(paths)} notebooks in {target}; open them with: defdetr lab --notebooks {target}")


def copied(text: str) -> str:
    """A notebook whose links lead to the repository, as its copy may lie anywhere."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = DOCS.sub(f"]({REPOSITORY}/blob/main/docs/", "".join(cell["source"])).splitlines(True)
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
