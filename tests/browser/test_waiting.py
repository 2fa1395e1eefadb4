"""No browser test reads a page at once after it acted, or sleeps: it waits for what it expects. Checked in its source.

So that the rule is simple, it knows no before and after: the tests of this folder never read the page by themselves.
What they need to know comes from `expect` or from waiting.py, and both wait.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
READS = {
    "all_inner_texts", "all_text_contents", "bounding_box", "content", "evaluate_all", "evaluate_handle",
    "get_attribute", "get_property", "inner_html", "inner_text", "input_value", "is_checked", "is_disabled",
    "is_editable", "is_enabled", "is_focused", "is_hidden", "is_visible", "json_value", "query_selector",
    "query_selector_all", "screenshot", "text_content",
}  # fmt: skip
READS_WITHOUT_ARGUMENTS = {"all", "count", "title"}  # with some, these are methods of texts, lists and tensors
SLEEPS = {"sleep", "wait_for_timeout"}
CLOCKS = {"monotonic", "perf_counter", "process_time", "time"}
OTHERWISE = "wait for the state instead, with playwright's expect or with tests/browser/waiting.py"


def complaints(source: str) -> Iterator[tuple[int, str]]:
    """Line, and what is wrong there."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # calls for what they do
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            reads_a_value = name == "evaluate" and id(node) not in told
            if name in READS or reads_a_value or (name in READS_WITHOUT_ARGUMENTS and not (node.args or node.keywords)):
                yield node.lineno, f"{name}() reads the page at once"
            if name in SLEEPS:
                yield node.lineno, f"{name}() sleeps"
            if name in CLOCKS:
                yield node.lineno, f"{name}() looks at the clock"
        elif isinstance(node, ast.Attribute) and node.attr == "url" and isinstance(node.ctx, ast.Load):
            if isinstance(node.value, ast.Name) and node.value.id in {"page", "frame"}:
                yield node.lineno, ".url reads the page at once"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None)]
            if "time" in modules:
                yield node.lineno, "the module time is imported, to sleep or to look at the clock"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for word in ("requestAnimationFrame", "setTimeout", "performance.now"):
                if word in node.value:
                    yield node.lineno, f"{word} waits for a time and not for a state"


@pytest.mark.parametrize("path", sorted(HERE.glob("test_*.py")), ids=lambda path: path.name)
def test_browser_tests_wait_for_what_they_expect(path):
    if path == Path(__file__):
        pytest.skip("the words that it looks for are written here")
    found = [
        f"tests/browser/{path.name}:{line}: {what}; {OTHERWISE}"
        for line, what in complaints(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "old, line, what",
    [
        ("page.mouse.click(1, 2)\nassert page.locator('output').inner_text() == 'row 6'", 2, "inner_text"),
        ("page.check('input')\ntext = page.locator('p').text_content()\nassert text", 2, "text_content"),
        ("root.click()\nassert root.get_attribute('data-part') == 'encoder'", 2, "get_attribute"),
        ("box.fill('a')\nassert page.locator('li').count() > 5", 2, "count"),
        ("list.select_option('1')\nassert int(list.input_value()) == 3", 2, "input_value"),
        ("page.goto(url)\nassert page.title() == 'Saved'", 2, "title"),
        ("page.goto(url)\nassert page.url == 'Saved'", 2, ".url"),
        ("button.press('Enter')\nassert button.is_visible()", 2, "is_visible"),
        ("page.mouse.up()\nassert page.evaluate('window.sent.at(-1)') == [0]", 2, "evaluate"),
        ("shown = {**page.evaluate('facts')}", 1, "evaluate"),
        ("assert canvas.evaluate('one => one.toDataURL()') != before", 1, "evaluate"),
        ("assert page.locator('canvas').bounding_box()['width'] > 5", 1, "bounding_box"),
        ("assert {link.get_attribute('href') for link in links.all()} == expected", 1, "all"),
        ("page.wait_for_timeout(300)", 1, "sleeps"),
        ("import time\ntime.sleep(0.3)", 1, "module time"),
        ("from time import sleep", 1, "module time"),
        ("until = time.monotonic() + 90", 1, "clock"),
        ("page.evaluate('() => new Promise((done) => requestAnimationFrame(done))')", 1, "requestAnimationFrame"),
    ],
)
def test_what_reads_at_once_or_sleeps_is_found(old, line, what):
    assert any(at == line and what in text for at, text in complaints(old))


def test_what_waits_is_not_refused():
    waits = """
page.evaluate("() => fromPython({ layer: 2 })")
expect(page.locator("output")).to_have_text("row 6")
shows(page, query=19)
assert holds(page, script, condition)["total"] == approx(read(image)[0])
assert (steps <= 0).all(-1) and text.count("a") == 2
"""
    assert list(complaints(waits)) == []
