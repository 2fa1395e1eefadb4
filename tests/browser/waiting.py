"""The one way to read a page in a browser test: wait for the state that is expected.

A page answers an action when it gets to it: after an event, a frame, a message from Python. So no test reads at once
what an action should have done, and none sleeps. What is expected of one element says Playwright's `expect`; the rest
is here. test_waiting.py refuses everything else.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 60_000  # ms; only ends the wait for what never comes, however slow the machine
POLL = 20  # ms between two looks; frames may come late, or never, so none is waited for

PICTURE = "(selector) => document.querySelector(selector).toDataURL()"


def holds(where: Any, script: str, condition: str, arg: Any = None, patience: int = PATIENCE) -> Any:
    """Wait until condition(script(arg), arg) is true, both functions of JavaScript; returns what script(arg) was then.

    where: a page or a frame of it.
    """
    from playwright.sync_api import TimeoutError

    look = f"(arg) => {{ const seen = ({script})(arg); return ({condition})(seen, arg) ? {{ seen }} : null; }}"
    try:
        return where.wait_for_function(look, arg=arg, polling=POLL, timeout=patience).json_value()["seen"]
    except TimeoutError:
        last = where.evaluate(script, arg)
        raise AssertionError(
            f"{script}\nnever became what is expected: {condition}, for {arg}\nlast seen: {last!r}"
        ) from None


def becomes(where: Any, script: str, expected: Any, arg: Any = None, patience: int = PATIENCE) -> None:
    """Wait until script(arg) is `expected`: numbers, words, and lists and dictionaries of them."""
    condition = f"(seen) => JSON.stringify(seen) === JSON.stringify({json.dumps(expected)})"
    holds(where, script, condition, arg, patience)


@contextmanager
def changes(where: Any, script: str, arg: Any = None) -> Iterator[None]:
    """Wait after the block until script(arg) is no longer what it was before."""
    before = where.evaluate(script, arg)
    yield
    holds(where, script, f"(seen) => JSON.stringify(seen) !== JSON.stringify({json.dumps(before)})", arg)


def shows(where: Any, **facts: Any) -> None:
    """Wait until the explorer has drawn this; it notes on its root what it drew."""
    wanted = {name: str(value) for name, value in facts.items()}
    script = """(names) => {
        const { dataset } = document.querySelector(".defdetr-explorer");
        return Object.fromEntries(names.map((name) => [name, dataset[name] ?? null]));
    }"""
    becomes(where, script, wanted, list(wanted))


def box(locator: Any) -> dict[str, float]:
    """Where an element is on the page, for the pointer; it must be there, and drawn if it is a picture."""
    from playwright.sync_api import expect

    expect(locator).to_be_visible()
    width = "(one) => one.tagName !== 'CANVAS' || one.width === Math.round(one.clientWidth * devicePixelRatio)"
    handle = locator.element_handle()
    becomes(handle.owner_frame(), width, True, handle)
    return handle.bounding_box()


def hold_frames(page: Any) -> None:
    """No frame of the page comes any more, until the page calls `releaseFrames()`."""
    page.evaluate(HOLD_FRAMES)


HOLD_FRAMES = """() => {
    const held = new Map();
    let last = 0;
    window.requestAnimationFrame = (call) => (held.set(++last, call), last);
    window.cancelAnimationFrame = (id) => held.delete(id);
    window.releaseFrames = () => {
        const calls = [...held.values()];
        held.clear();
        calls.forEach((call) => call(performance.now()));
    };
}"""

# Frames come, but late: a slow machine, made certain.
LATE_FRAMES = """(() => {
    const LATE = %d;
    const [request, cancel] = [requestAnimationFrame, cancelAnimationFrame].map((call) => call.bind(window));
    const timers = new Map();
    window.requestAnimationFrame = (call) => {
        const answer = (id) => {
            timers.delete(id);
            call(performance.now());
        };
        const id = request(() => timers.set(id, setTimeout(answer, LATE, id)));
        return id;
    };
    window.cancelAnimationFrame = (id) => {
        cancel(id);
        clearTimeout(timers.get(id));
        timers.delete(id);
    };
})()"""
