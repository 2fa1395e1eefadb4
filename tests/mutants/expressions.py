"""Changes inside an expression."""

import ast
import re
from collections.abc import Iterator

from tests.mutants.source import Edit, Source

ARITHMETIC = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "//", ast.Pow: "*",
    ast.MatMult: "*", ast.BitAnd: "|", ast.BitOr: "&",
}  # fmt: skip
COMPARISONS = {
    ast.Lt: ("<=", ">"), ast.LtE: ("<", ">="), ast.Gt: (">=", "<"), ast.GtE: (">", "<="),
    ast.Eq: ("!=",), ast.NotEq: ("==",), ast.Is: ("is not",), ast.IsNot: ("is",),
    ast.In: ("not in",), ast.NotIn: ("in",),
}  # fmt: skip
OPPOSITES = {
    "min": "max", "minimum": "maximum", "amin": "amax", "argmin": "argmax", "floor": "ceil", "any": "all",
    "cos": "sin", "zeros": "ones", "zeros_like": "ones_like", "zeros_": "ones_", "cumsum": "cumprod",
}  # fmt: skip
OPPOSITES |= {other: one for one, other in OPPOSITES.items()}
DROPPED_METHODS = {
    "abs", "clamp", "contiguous", "detach", "double", "expand", "flatten", "float", "log", "masked_fill", "nan_to_num",
    "relu", "repeat", "round", "sigmoid", "softmax", "to",
}  # fmt: skip
# Functions that are more than a conversion of Python's types; dropped when they have a single argument.
KEPT_FUNCTIONS = {
    "all", "any", "bool", "enumerate", "float", "int", "len", "list", "map", "max", "min", "range", "reversed",
    "set", "sorted", "str", "sum", "super", "tuple", "type", "zip",
}  # fmt: skip
MODULES = {"F", "math", "np", "torch", "operator"}


def arithmetic(source: Source, node: ast.BinOp) -> Iterator[Edit]:
    """Another operator, operands swapped, or the right one left out."""
    left, right = source.operand_span(node.left), source.operand_span(node.right)
    symbol = re.search(r"//|\*\*|[-+*/%@&|]", source.text[left[1] : right[0]])
    if symbol and type(node.op) in ARITHMETIC:
        yield Edit("operator", left[1] + symbol.start(), left[1] + symbol.end(), ARITHMETIC[type(node.op)])
    if isinstance(node.op, (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)):
        yield source.swap("swapped operands", node.left, node.right, (left, right))
    if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.Pow)):
        yield Edit("operand left out", left[1], right[1], "")


def comparison(source: Source, node: ast.Compare) -> Iterator[Edit]:
    operands = [node.left, *node.comparators]
    for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
        start, end = source.operand_span(left)[1], source.operand_span(right)[0]
        sign = source.text[start:end]
        blank = len(sign) - len(sign.lstrip()), len(sign) - len(sign.rstrip())
        for other in COMPARISONS[type(operator)]:
            yield Edit("comparison", start + blank[0], end - blank[1], other)


def and_or(source: Source, node: ast.BoolOp) -> Iterator[Edit]:
    for left, right in zip(node.values, node.values[1:], strict=False):
        start, end = source.operand_span(left)[1], source.operand_span(right)[0]
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        yield Edit("and, or", start, end, source.text[start:end].replace(word, other))


def sign(source: Source, node: ast.UnaryOp) -> Iterator[Edit]:
    start, _ = source.span(node)
    if isinstance(node.op, ast.USub) and source.code(node) == "-1":
        yield source.replace("axis", node, "0")
        yield source.replace("axis", node, "-2")
    else:
        yield Edit("negation left out", start, source.operand_span(node.operand)[0], "")


def constant(source: Source, node: ast.Constant) -> Iterator[Edit]:
    if isinstance(node.value, bool):
        yield source.replace("constant", node, str(not node.value))
    elif isinstance(node.value, int):
        yield source.replace("constant", node, str({0: 1, 1: 0, 2: 1}.get(node.value, node.value + 1)))
    elif isinstance(node.value, float):
        yield source.replace("constant", node, repr({0.0: 1.0, 0.5: 0.0, 1.0: 0.0}.get(node.value, node.value * 2)))


def pair(source: Source, node: ast.Tuple | ast.List) -> Iterator[Edit]:
    if len(node.elts) == 2 and _alike(*node.elts):
        yield source.swap("swapped pair", *node.elts)


def arguments(source: Source, node: ast.Call) -> Iterator[Edit]:
    """Two neighbours swapped, `min` and `max` exchanged."""
    if _name(node.func) not in OPPOSITES:  # whose arguments may come in any order
        for one, other in zip(node.args, node.args[1:], strict=False):
            if _alike(one, other):
                yield source.swap("swapped arguments", one, other)
    for keyword in node.keywords:
        if keyword.arg in ("min", "max"):
            start, _ = source.span(keyword)
            yield Edit("min, max", start, start + 3, OPPOSITES[keyword.arg])


def function(source: Source, node: ast.Call) -> Iterator[Edit]:
    """The opposite function, or none."""
    name, end = _name(node.func), source.span(node.func)[1]
    if name in OPPOSITES:
        yield Edit("opposite function", end - len(name), end, OPPOSITES[name])
    of_module = isinstance(node.func, ast.Attribute) and source.code(node.func.value) in MODULES
    if isinstance(node.func, ast.Attribute) and not of_module and name in DROPPED_METHODS:
        yield Edit("call left out", source.operand_span(node.func.value)[1], source.span(node)[1], "")
    plain = isinstance(node.func, ast.Name) and name not in KEPT_FUNCTIONS and name[0].islower()
    if (plain or of_module) and len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred):
        yield source.replace("call left out", node, f"({source.code(node.args[0])})")


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _alike(one: ast.expr, other: ast.expr) -> bool:
    """Whether swapping them could be a mistake that goes unnoticed: both names, both numbers, both calls, …"""
    if isinstance(one, ast.Constant) and isinstance(other, ast.Constant):
        return type(one.value) is type(other.value)
    return type(one) is type(other) and not isinstance(one, (ast.Starred, ast.Dict, ast.JoinedStr))


RULES = {
    ast.BinOp: [arithmetic],
    ast.Compare: [comparison],
    ast.BoolOp: [and_or],
    ast.UnaryOp: [sign],
    ast.Constant: [constant],
    ast.Tuple: [pair],
    ast.List: [pair],
    ast.Call: [arguments, function],
}
