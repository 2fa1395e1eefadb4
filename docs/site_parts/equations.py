r"""Equations, which docstrings write in plain text, become TeX: `A_mlqk · x^l` is A_{mlqk} \cdot x^{l}.

| written            | means                                                        |
|--------------------|--------------------------------------------------------------|
| `x_mlk`, `Σ_level` | an index: letters side by side, or one word                  |
| `2^l`, `T^(i/d)`   | a power                                                      |
| `log`, `cost`      | two letters or more are one upright name                     |
| `   (Eq. 3)`       | at the end, after two spaces or more: the equation's number  |
"""

import re

SYMBOLS = {
    "Σ": r"\sum", "σ": r"\sigma", "φ": r"\phi", "α": r"\alpha", "γ": r"\gamma", "Δ": r"\Delta", "π": r"\pi",
    "·": r"\cdot", "‖": r"\Vert", "∩": r"\cap", "∪": r"\cup", "∖": r"\setminus", "⁻¹": "^{-1}", "₁": "_{1}",
    "(": r"\left(", ")": r"\right)", "[": r"\left[", "]": r"\right]", "{": r"\{", "}": r"\}",
}  # fmt: skip
FUNCTIONS = ("cos", "log", "sin")  # what TeX knows by name
LONGEST_INDEX = 4  # letters that are an index each; more are a word
IS_EQUATION = re.compile(r"[ΣσφαγΔ‖∩^]")
NUMBERED = re.compile(r"^(.*?)(?:\s{2,}\(([^()]*)\))?$")
TOKEN = re.compile(
    r"(?P<hat>[A-Za-z])\u0302|_(?P<index>[A-Za-z0-9]+)|\^\((?P<group>[^()]*)\)|\^(?P<power>[^\W_]+)|(?P<word>[A-Za-z]+)"
    r"|(?P<symbol>⁻¹|[ΣσφαγΔπ·‖∩∪∖₁()\[\]{}])|(?P<plain>[0-9\s=+\-/,.|'])"
)


def equation(line: str) -> str:
    """One equation in TeX. Raises ValueError for a sign that has no meaning here."""
    formula, number = NUMBERED.match(line.strip()).groups()
    return to_tex(formula) + (rf" \tag{{{number}}}" if number else "")


def to_tex(text: str) -> str:
    pieces, end = [], 0
    while end < len(text):
        token = TOKEN.match(text, end)
        if token is None:
            raise ValueError(f"equation {text!r}: {text[end]!r} has no name in TeX here; add it to SYMBOLS and TOKEN")
        pieces.append(_tex_of(token))
        end = token.end()
    return re.sub(r" +", " ", "".join(pieces)).strip()


def _tex_of(token: re.Match[str]) -> str:
    kind, found = token.lastgroup, token[token.lastgroup]
    if kind == "hat":
        return rf"\hat{{{found}}}"
    if kind == "index":
        return f"_{{{found if len(found) <= LONGEST_INDEX else _name(found)}}}"
    if kind in ("group", "power"):
        return f"^{{{to_tex(found)}}}"
    if kind == "word":
        return rf"\{found} " if found in FUNCTIONS else _name(found)
    return f"{SYMBOLS[found]} " if kind == "symbol" else found


def _name(word: str) -> str:
    return word if len(word) == 1 else rf"\mathrm{{{word}}}"
