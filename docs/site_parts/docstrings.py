"""Docstrings of the package are plain text: tables with bars, `code` in single ticks, indented equations.

This turns them into what Sphinx reads (reStructuredText), so that the same words read well in both places.

| in a docstring                             | on the page                                          |
|--------------------------------------------|------------------------------------------------------|
| a table with bars                          | a table                                              |
| an indented block                          | code if Python can parse it, else a block as it is … |
| … with Σ, σ, ^ and the like                | a formula for each line, see `equations.py`          |
| the column `paper` of a table              | formulas                                             |
| `name: what it is`, name being a parameter | an entry of the list of parameters                   |
| a line that begins with Returns or Raises  | the same, set apart                                  |
| a dataclass                                | a table of its fields, with the comments at them     |
"""

import ast
import dataclasses
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx

from site_parts.equations import IS_EQUATION, equation, to_tex

EMPHASIS = re.compile(r"(?<!\S)\*(\w[^*\n]*\w|\w)\*(?=[\s.,;:!?)]|$)")
CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
RULE = re.compile(r"^\|[\s:|-]+\|$")  # the line under a table's head
OUTCOME = re.compile(r"^(Returns|Raises)\b")


def inline(text: str) -> str:
    """One run of text: ticks doubled, *words* emphasised, everything else taken literally."""
    pieces, end = [], 0
    for found in CODE.finditer(text):
        pieces += [_literally(text[end : found.start()]), f"\\ ``{found[2].strip()}``\\ "]
        end = found.end()
    whole = "".join([*pieces, _literally(text[end:])])
    return whole.removeprefix("\\ ").removesuffix("\\ ")


def _literally(text: str) -> str:
    plain = re.split(EMPHASIS, text)  # every second piece is what stood between asterisks
    escaped = [re.sub(r"([\\*`|_])", r"\\\1", piece) for piece in plain]
    return "".join(f"*{piece}*" if i % 2 else piece for i, piece in enumerate(escaped))


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines between blank lines; indented runs that follow each other are one."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line.rstrip())
        elif block:
            yield block
            block = []


def merged_blocks(lines: list[str]) -> list[list[str]]:
    merged: list[list[str]] = []
    for block in blocks(lines):
        if merged and is_indented(block) and is_indented(merged[-1]):
            merged[-1] += ["", *block]
        else:
            merged.append(block)
    return merged


def is_indented(block: list[str]) -> bool:
    return all(line.startswith("    ") or not line for line in block)


def to_rst(lines: list[str], parameters: set[str]) -> list[str]:
    """A docstring's lines as reStructuredText. parameters: names that may begin an entry of the parameters' list."""
    result = []
    for block in merged_blocks(lines):
        if is_indented(block):
            result += verbatim(block)
        elif block[0].startswith("|"):
            result += table([cells(line) for line in block if not RULE.match(line)], head=any(map(RULE.match, block)))
        else:
            result += words(block, parameters)
        result.append("")
    return result


def verbatim(block: list[str]) -> list[str]:
    content = textwrap.dedent("\n".join(block))
    try:
        ast.parse(content)
        language = "python"
    except SyntaxError:
        lines = [line for line in content.splitlines() if line]
        if all(map(IS_EQUATION.search, lines)):
            return [part for line in lines for part in (f".. math:: {equation(line)}", "")]
        language = "text"
    return [f".. code-block:: {language}", "", *textwrap.indent(content, "   ").splitlines()]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def table(rows: list[list[str]], head: bool) -> list[str]:
    """A list-table: no cell can break its layout."""
    lines = [".. list-table::", "   :widths: auto", *(["   :header-rows: 1"] if head else []), ""]
    for number, row in enumerate(rows):
        for i, cell in enumerate(row):
            is_symbol = head and number and rows[0][i] == "paper"
            content = f":math:`{to_tex(cell)}`" if is_symbol else inline(cell)
            lines.append(f"   {'*' if i == 0 else ' '} - {content}".rstrip())
    return lines


def words(block: list[str], parameters: set[str]) -> list[str]:
    """Prose, parameters, Returns and Raises: each begins with a line of its own and takes the lines after it along."""
    pieces: list[tuple[str, list[str]]] = [("", [])]
    for line in block:
        name = re.match(r"^(\w+(?:, \w+)*):(?: |$)", line)
        outcome = OUTCOME.match(line)
        if name and parameters.issuperset(name[1].split(", ")):
            pieces.append((f":param {name[1].replace(', ', ',')}:", [line[name.end() :]]))
        elif outcome:
            pieces.append((f":{outcome[1].lower()}:", [line[outcome.end() :]]))
        else:
            pieces[-1][1].append(line.strip() if not line.startswith("- ") else f"\n{line}")
    lines = []
    for field, text in pieces:
        content = inline("\n".join(part for part in text if part)).strip()
        if content:
            lines += [f"{field} {' '.join(content.split())}", ""] if field else [*content.splitlines(), ""]
    return lines


def parameters_of(thing: Any) -> set[str]:
    try:
        return set(inspect.signature(thing).parameters)
    except (TypeError, ValueError):  # a module, a constant
        return set()


def fields_of(dataclass: type) -> list[list[str]]:
    """Name, type, default and the comment at the line, for every field written in the class itself."""
    source = textwrap.dedent(inspect.getsource(dataclass))
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return [
        [
            f"`{node.target.id}`",
            f"`{ast.unparse(node.annotation)}`",
            f"`{ast.unparse(node.value)}`" if node.value else "",
            comments.get(node.end_lineno, ""),
        ]
        for node in ast.parse(source).body[0].body
        if isinstance(node, ast.AnnAssign)
    ]


def process(app: Sphinx, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = to_rst(list(lines), parameters_of(thing))
    if kind == "class" and dataclasses.is_dataclass(thing):
        lines += table([["field", "type", "default", ""], *fields_of(thing)], head=True)


def short_signature(app: Sphinx, kind: str, name: str, thing: Any, options: Any, signature: str, returns: str):
    """A dataclass is made from its fields, which stand in the table below."""
    if kind == "class" and dataclasses.is_dataclass(thing):
        return "(…)", None
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", short_signature)
    return {"parallel_read_safe": True}
