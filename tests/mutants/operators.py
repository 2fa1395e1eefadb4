"""What is changed: for each kind of syntax node, the small mistakes that one could make there.

Not changed: docstrings, annotations, imports, messages (whatever is raised, and f-strings).
"""

import ast
from collections.abc import Iterator

from tests.mutants import expressions, statements
from tests.mutants.source import Edit, Source

RULES = expressions.RULES | statements.RULES


def edits_of(source: Source) -> list[Edit]:
    """All changes that give another program, each once, in the order of the text."""
    found = {}
    for node in _nodes(source.tree):
        for rule in RULES.get(type(node), ()):
            for edit in rule(source, node):
                if source.text[edit.start : edit.end] != edit.text and _is_program(source.apply(edit)):
                    found.setdefault((edit.start, edit.end, edit.text), edit)
    return sorted(found.values(), key=lambda edit: (edit.start, edit.end))


def _is_program(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _children(node: ast.AST) -> list[ast.AST]:
    """Those that may be changed."""
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.arg() | ast.Assert():
            return []
        case ast.Expr(value=ast.Constant()):  # a docstring
            return []
        case ast.FunctionDef():
            return [node.args, *node.body]
        case ast.ClassDef():
            return node.body
        case ast.AnnAssign():
            return [node.value] if node.value else []
        case ast.Subscript(value=ast.Name(id="dict" | "list" | "tuple")):  # the name of a type
            return []
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)):  # changed as a whole
            return []
        case ast.keyword(arg="strict"):  # a guard against mistakes in the very same line
            return []
        case ast.Call(func=ast.Name(id="isinstance")):
            return node.args[:1]
    return list(ast.iter_child_nodes(node))
