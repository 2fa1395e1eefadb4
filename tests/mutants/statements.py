"""Changes of a whole statement, or of whether it runs."""

import ast
from collections.abc import Iterator

from tests.mutants.expressions import ARITHMETIC
from tests.mutants.source import Edit, Source


def condition(source: Source, node: ast.If | ast.IfExp) -> Iterator[Edit]:
    yield source.replace("condition negated", node.test, f"(not ({source.code(node.test)}))")


def filters(source: Source, node: ast.comprehension) -> Iterator[Edit]:
    for test in node.ifs:
        yield source.replace("condition negated", test, f"(not ({source.code(test)}))")
        yield source.replace("filter left out", test, "True")


def statement(source: Source, node: ast.stmt) -> Iterator[Edit]:
    yield source.replace(f"{type(node).__name__.lower()} left out", node, "pass")


def in_place(source: Source, node: ast.AugAssign) -> Iterator[Edit]:
    start, end = source.span(node.target)[1], source.operand_span(node.value)[0]
    if type(node.op) in ARITHMETIC:
        yield Edit("operator", start, end, f" {ARITHMETIC[type(node.op)]}= ")


def call_statement(source: Source, node: ast.Expr) -> Iterator[Edit]:
    if isinstance(node.value, ast.Call) and "super()" not in source.code(node):
        yield source.replace("call left out", node, "pass")


def early_return(source: Source, node: ast.Return) -> Iterator[Edit]:
    if node.value is None:
        yield source.replace("return left out", node, "pass")


def decorator(source: Source, node: ast.FunctionDef) -> Iterator[Edit]:
    for expression in node.decorator_list:
        start, end = source.span(expression)
        if "no_grad" in source.code(expression):
            yield Edit("decorator left out", start - 1, end, "")


RULES = {
    ast.If: [condition],
    ast.IfExp: [condition],
    ast.comprehension: [filters],
    ast.Raise: [statement],
    ast.Continue: [statement],
    ast.AugAssign: [statement, in_place],
    ast.Expr: [call_statement],
    ast.Return: [early_return],
    ast.FunctionDef: [decorator],
}
