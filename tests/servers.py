"""A JupyterLab that a test has started: where it answers."""

import queue
import re
import socket
import subprocess
import threading
import time
from urllib.parse import urlsplit

START_SECONDS = 120  # long enough for a loaded machine; ends a wait for what never comes
POLL_SECONDS = 0.05


def address_of(server: subprocess.Popen, pattern: str) -> re.Match:
    """As the server tells it on its standard output, which is read to its end, so that it never waits for a reader.

    pattern: what to look for in each line. Fails the test, with what the server said, if it ends or stays silent.
    """
    found, lines = queue.Queue(), []

    def follow() -> None:
        for line in server.stdout:
            lines.append(line)
            if match := re.search(pattern, line):
                found.put(match)
        found.put(None)

    threading.Thread(target=follow, daemon=True).start()
    try:
        match = found.get(timeout=START_SECONDS)
    except queue.Empty:
        match = None
    assert match, f"JupyterLab did not start:\n{''.join(lines)[-2000:]}"
    wait_until_it_accepts(urlsplit(match.group()).port)
    return match


def wait_until_it_accepts(port: int) -> None:
    """Jupyter tells its address a moment before it listens there. Fails the test if nothing ever does."""
    until, pause = time.monotonic() + START_SECONDS, threading.Event()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < until, f"nothing listens on port {port}"
            pause.wait(POLL_SECONDS)
        else:
            return
