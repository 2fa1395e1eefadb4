"""Which exercises a learner has solved: a small file outside every clone, so that git never sees it."""

import json
import os
import sys
from pathlib import Path

from defdetr_ref.weight_files.writing import replacing

VARIABLE = "DEFDETR_PROGRESS"  # of the environment: the file; set to nothing, no progress is kept
SOLVED = "solved"  # the file's one entry: names of exercises


def progress_file() -> Path | None:
    """Where progress is kept, or None if nowhere. Raises OSError if the system does not tell where a user's data go."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE]) if os.environ[VARIABLE] else None
    try:
        return data_folder() / "defdetr-ref" / "progress.json"
    except RuntimeError:  # there is no home folder
        raise OSError(f"this user has no home folder; name a file for the progress in {VARIABLE}") from None


def data_folder() -> Path:
    """Where programs keep a user's data on this system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def read_solved(path: Path | None) -> frozenset[str]:
    """Names of the solved exercises; none where there is no file. Raises ValueError for a damaged one."""
    if path is None or not path.exists():
        return frozenset()
    try:
        names = json.loads(path.read_text(encoding="utf-8"))[SOLVED]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError
    except (ValueError, TypeError, LookupError):
        raise ValueError(
            f"{path} is no record of progress; delete it to begin anew, or name another file in {VARIABLE}"
        ) from None
    return frozenset(names)


def keep_solved(name: str) -> None:
    """Add an exercise to the record. Raises ValueError if that is damaged, and OSError if it cannot be written."""
    path = progress_file()
    if path is None:
        return
    before = read_solved(path)
    if name in before:
        return
    content = json.dumps({SOLVED: sorted(before | {name})}, indent=1).encode("utf-8")
    with replacing(path, len(content)) as file:
        file.write(content)
