"""Places in the text of a module, and changes there."""

import ast
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Edit:
    """Put `text` in place of the characters from `start` to `end`."""

    kind: str
    start: int
    end: int
    text: str


class Source:
    """The text of a module and its syntax tree."""

    def __init__(self, text: str):
        self.text, self.tree = text, ast.parse(text)
        self._lines = text.splitlines(keepends=True)
        self._starts = list(accumulate(map(len, self._lines), initial=0))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """First character and last + 1; parentheses around an expression do not belong to it."""
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        """Syntax trees count columns in bytes."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def code(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def operand_span(self, node: ast.expr) -> tuple[int, int]:
        """The span of one side of an operator or dot, with the parentheses around it."""
        start, end = self.span(node)
        while self.text[:start].rstrip().endswith("(") and self.text[end:].lstrip().startswith(")"):
            start, end = self.text.rindex("(", 0, start), self.text.index(")", end) + 1
        return start, end

    def replace(self, kind: str, node: ast.AST, text: str) -> Edit:
        return Edit(kind, *self.span(node), text)

    def swap(self, kind: str, left: ast.AST, right: ast.AST, spans: Sequence[tuple[int, int]] = ()) -> Edit:
        """Exchange two pieces of code, and leave what stands between them."""
        (start, left_end), (right_start, end) = spans or (self.span(left), self.span(right))
        first, between, last = self.text[start:left_end], self.text[left_end:right_start], self.text[right_start:end]
        return Edit(kind, start, end, last + between + first)

    def apply(self, edit: Edit) -> str:
        """The whole text after the change."""
        return self.text[: edit.start] + edit.text + self.text[edit.end :]

    def line_of(self, edit: Edit) -> int:
        return bisect_right(self._starts, edit.start)

    def lines_of(self, edit: Edit) -> tuple[str, str]:
        """The lines that the change touches, before and after, evened out."""
        first, last = self.line_of(edit), bisect_right(self._starts, max(edit.start, edit.end - 1))
        start, end = self._starts[first - 1], self._starts[last]
        after = self.text[start : edit.start] + edit.text + self.text[edit.end : end]
        return evened(self.text[start:end]), evened(after)


def evened(text: str) -> str:
    """Without comments and line breaks, and with single blanks."""
    return " ".join(" ".join(re.sub(r"(^|\s)#\s.*", "", line) for line in text.splitlines()).split())
