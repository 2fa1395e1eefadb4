"""Links to single lines of the package: the text of a link is the code, so that the line can be found again.

    [`boxes.detach()`](../defdetr_ref/decoder.py#L110)

On GitHub the number counts; on the site the text does. `python docs/site_parts/source_lines.py` writes the numbers
anew; a test says when that is needed, or when a line is gone.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINE_LINK = re.compile(r"\[`(?P<code>[^`]+)`\]\(\.\./(?P<file>[\w/]+\.py)#L(?P<number>\d+)\)")


def find_line(file: str, code: str, root: Path = ROOT) -> int:
    """The number, from 1, of the line of `file` that holds `code`. Raises ValueError if there is not exactly one."""
    path = root / file
    if not path.is_file():
        raise ValueError(f"{file} does not exist, but a link says that it holds `{code}`")
    numbers = [i for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1) if code in line]
    if len(numbers) != 1:
        raise ValueError(f"{len(numbers) or 'no'} lines of {file} hold `{code}`; a link needs one: change its text")
    return numbers[0]


def each_link(text: str, change: Callable[[str, str, int], str]) -> str:
    """`text` with every link to a line replaced by change(code, file, number)."""
    return LINE_LINK.sub(lambda found: change(found["code"], found["file"], int(found["number"])), text)


def renumbered(text: str) -> str:
    """`text` with right numbers. Raises ValueError like `find_line`."""
    return each_link(text, lambda code, file, _: f"[`{code}`](../{file}#L{find_line(file, code)})")


def main() -> None:
    for path in sorted((ROOT / "docs").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        try:
            right = renumbered(text)
        except ValueError as error:
            sys.exit(f"{path.name}: {error}")
        if right != text:
            path.write_text(right, encoding="utf-8", newline="\n")
            print(f"renumbered: {path.name}")


if __name__ == "__main__":
    main()
