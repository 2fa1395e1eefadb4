"""Below each exercise of a lesson, folded away: its hint, and the solution that its check compares answers with."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from defdetr_ref.course import exercises

CHECK = re.compile(r'exercises\.check\("([\w-]+)"')
CODE = re.compile(r"(`[^`]*`)")

FOLDS = """<details class="fold"><summary>Hint</summary>

{hint}

</details>
<details class="fold"><summary>Solution</summary>

```python
{solution}
```

</details>"""


def with_folds(cells: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The cells of a notebook; each one that checks an exercise is followed by one with two folds."""
    for cell in cells:
        yield cell
        if cell["cell_type"] == "code":
            for name in CHECK.findall("".join(cell["source"])):
                yield {"cell_type": "markdown", "id": f"folds-{name}", "metadata": {}, "source": folds(name)}


def folds(name: str) -> str:
    """Hint and solution of an exercise as Markdown. Raises ValueError if there is no such exercise."""
    hint, solution = exercises.find(name).hint, exercises.solution_text(name)
    return FOLDS.format(hint=as_markdown(hint), solution=solution)


def as_markdown(hint: str) -> str:
    """Plain text in which only `code` and *words* have a meaning."""
    pieces = CODE.split(hint)  # every second one is code
    return "".join(piece if i % 2 else re.sub(r"([\\_\[\]<>$#|])", r"\\\1", piece) for i, piece in enumerate(pieces))
