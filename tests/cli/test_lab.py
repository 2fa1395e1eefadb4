"""`defdetr lab`: which notebook, which command, whose exit code; and once in earnest."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from defdetr_ref.cli import lab, main, notebooks
from tests.servers import START_SECONDS, address_of

MAP = Path(__file__).parents[2] / "notebooks" / "00_map.ipynb"


class Server:
    """Stands in for a process: Ctrl-C arrives while it is waited for, then it ends."""

    started: list[list[str]]

    def __init__(self, command, env):
        self.started.append(command)
        self.interrupts = 2

    def wait(self):
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        return 7


@pytest.fixture
def started(monkeypatch):
    """The commands that were started, with JupyterLab there and a user who is not root."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "Popen", Server)
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    monkeypatch.setattr(Server, "started", [], raising=False)
    monkeypatch.setattr(lab, "trust", lambda folder: None)  # it writes into the user's folders
    return Server.started


def test_the_first_notebook_of_the_clone_is_opened_and_the_exit_code_handed_on(started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["lab"]) == 7
    address = "--LabApp.default_url=/lab/tree/00_map.ipynb"
    assert started == [[sys.executable, "-m", "jupyterlab", address, str(MAP)]]


def test_another_folder_without_a_browser(started, tmp_path):
    for name in ("b.ipynb", "a 1.ipynb", "0.txt"):
        (tmp_path / name).touch()
    assert main(["lab", "--notebooks", str(tmp_path), "--no-browser"]) == 7
    address = "--LabApp.default_url=/lab/tree/a%201.ipynb"
    assert started == [[sys.executable, "-m", "jupyterlab", "--no-browser", address, str(tmp_path / "a 1.ipynb")]]


def test_an_installed_package_finds_the_notebooks_of_the_folder_one_is_in(started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notebooks, "PLACES", (tmp_path / "site-packages" / "notebooks", Path("notebooks")))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_map.ipynb").touch()
    assert main(["lab"]) == 7 and started[0][-1] == str(Path("notebooks") / "00_map.ipynb")


def test_only_the_notebooks_of_the_clone_are_trusted(started, tmp_path, monkeypatch):
    trusted = []
    monkeypatch.setattr(lab, "trust", trusted.append)
    (tmp_path / "a.ipynb").touch()
    main(["lab", "--notebooks", str(tmp_path)])
    main(["lab"])
    assert trusted == [MAP.parent]


def test_root_is_allowed(started, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    main(["lab"])
    assert "--allow-root" in started[0]


def test_a_system_without_root(started, monkeypatch):
    monkeypatch.delattr(os, "geteuid")
    main(["lab"])
    assert "--allow-root" not in started[0]


def told(capsys) -> str:
    """The one line on stderr."""
    line = capsys.readouterr().err
    assert line.startswith("defdetr: ") and line.count("\n") == 1
    return line


def test_an_installed_package_says_where_the_notebooks_are(started, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "PLACES", (tmp_path,))
    assert main(["lab"]) == 2 and started == []
    assert "git clone https://" in told(capsys)


def test_a_folder_without_notebooks_is_named(started, tmp_path, capsys):
    assert main(["lab", "--notebooks", str(tmp_path)]) == 2 and started == []
    assert str(tmp_path) in told(capsys)


def test_a_missing_jupyterlab_says_what_to_install(started, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["lab"]) == 2 and started == []
    assert 'pip install "defdetr-ref[notebooks]"' in told(capsys)


@pytest.mark.slow
def test_jupyterlab_answers(tmp_path):
    pytest.importorskip("jupyterlab")
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    environment = {**os.environ, **{name: str(tmp_path / name.lower()) for name in names}}
    command = [sys.executable, "-m", "defdetr_ref.cli", "lab", "--no-browser"]
    # In a session of its own, so that JupyterLab and its parent can be ended together.
    options = {"start_new_session": True} if hasattr(os, "killpg") else {}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, env=environment, **pipes, **options)
    try:
        address = address_of(process, r"(http://127\.0\.0\.1:\d+)(/lab\S*?)(\?token=\w+)")
        assert address[2] == "/lab/tree/00_map.ipynb"
        page, content = (
            urlopen(address[1] + place + address[3], timeout=START_SECONDS).read().decode("utf-8")
            for place in (address[2], "/api/contents/00_map.ipynb")
        )
        assert "00_map.ipynb" in page and "@jupyterlab/apputils-extension:announcements" in page  # switched off
        cells = json.loads(content)["content"]["cells"]
        assert {cell["metadata"].get("trusted") for cell in cells if cell["cell_type"] == "code"} == {True}
    finally:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, 15)
        else:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], check=False)
        process.wait(timeout=30)
