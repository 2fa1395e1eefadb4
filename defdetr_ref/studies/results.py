"""Results on disk: a JSON file is there whole or not at all, and never overwrites the results of other settings."""

import json
import os
from pathlib import Path
from typing import Any

import defdetr_ref


def stored_results(name: str) -> Path:
    """A file or folder below docs/studies/ of the clone, wherever the notebook lies that reads it.

    Raises FileNotFoundError if the package was installed without the repository.
    """
    path = Path(defdetr_ref.__file__).parents[1] / "docs" / "studies" / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: the studies' results are in the repository, not in the package")
    return path


def write_json(path: Path, content: Any) -> None:
    """Write `content` beside `path` first, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # one for each writer
    try:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def as_json(content: Any) -> Any:
    """`content` as it reads back from a file: lists for tuples."""
    return json.loads(json.dumps(content))


def finished(path: Path, identity: dict[str, Any]) -> bool:
    """True if `path` holds results of exactly this `identity` (keys of the file and their values), False if no file.

    Raises ValueError if it holds anything else.
    """
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{path} is not a JSON file; delete it or choose another folder") from None
    differing = [name for name, value in as_json(identity).items() if content.get(name) != value]
    if differing:
        raise ValueError(
            f"{path} holds the results of other settings (it differs in {', '.join(differing)}); delete it or choose "
            "another folder"
        )
    return True
