"""What would work on one system only: files in the system's encoding, its line ends, its own modules."""

import ast
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from defdetr_ref.cli import main
from defdetr_ref.provenance import processor_name
from defdetr_ref.training import distributed

ROOT = Path(__file__).parents[1]
SHIPPED = ("defdetr_ref", "cuda", "benchmarks", "docs")
FILES = [path for folder in (*SHIPPED, "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WRITING = {"w", "a", "x"}
POSIX_MODULES = {"fcntl", "grp", "pwd", "resource", "termios"}
POSIX_NAMES = {
    "os.fork",
    "os.geteuid",
    "os.getuid",
    "os.uname",
    "os.sched_getaffinity",
    "signal.SIGKILL",
    "signal.alarm",
}


def text_file_calls(tree: ast.AST) -> Iterator[tuple[ast.Call, bool]]:
    """Calls that open a text file, and whether they write it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "write_text"):
            yield node, node.func.attr == "write_text"
        elif isinstance(node.func, ast.Name) and node.func.id == "open":
            mode = ast.literal_eval(node.args[1]) if len(node.args) > 1 else "r"
            if "b" not in mode:
                yield node, bool(WRITING & set(mode))
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "open" and node.args:
            mode = getattr(node.args[0], "value", None)
            if mode in ("r", *WRITING):
                yield node, mode in WRITING


def faults(source: str, *, shipped: bool) -> list[str]:
    """A sentence for each call or name that does not behave the same everywhere."""
    found = []
    tree = ast.parse(source)
    for call, writes in text_file_calls(tree):
        given = {keyword.arg for keyword in call.keywords}
        if "encoding" not in given:
            found.append(f'line {call.lineno}: a text file without encoding; add encoding="utf-8"')
        if writes and shipped and "newline" not in given:
            found.append(f'line {call.lineno}: a text file is written without newline; add newline="\\n"')
    for node in ast.walk(tree):
        if shipped and isinstance(node, ast.Import | ast.ImportFrom):
            modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            absent = modules & POSIX_MODULES
            found += [f"line {node.lineno}: the module {name} is not everywhere; do without it" for name in absent]
        if shipped and isinstance(node, ast.Attribute) and ast.unparse(node) in POSIX_NAMES:
            found.append(f"line {node.lineno}: {ast.unparse(node)} is not everywhere; use getattr")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_works_on_every_system(path):
    place = path.relative_to(ROOT)
    found = faults(path.read_text(encoding="utf-8"), shipped=place.parts[0] in SHIPPED)
    assert not found, "\n".join(f"{place}: {fault}" for fault in found)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_work_on_every_system(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    found = faults("\n".join(code), shipped=True)
    assert not found, "\n".join(f"{path.name}, its code in one piece: {fault}" for fault in found)


@pytest.mark.parametrize(
    "source",
    [
        "path.read_text()",
        "path.write_text('x', encoding='utf-8')",
        "open(name)",
        "open(name, 'w', newline='')",
        "path.open('a')",
        "import resource",
        "from fcntl import flock",
        "os.getuid()",
    ],
)
def test_a_fault_is_noticed(source):
    assert faults(source, shipped=True) != []
    assert faults("open(name, 'rb'); path.write_text('x', encoding='utf-8', newline='')", shipped=True) == []


def test_a_processor_without_proc_has_a_name(tmp_path):
    assert processor_name(tmp_path / "cpuinfo")


def test_a_pytorch_without_processes_trains_in_one(monkeypatch):
    monkeypatch.setattr(distributed.dist, "is_available", lambda: False)
    monkeypatch.delattr(distributed.dist, "is_initialized")  # such a build does not have it
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.process_group(torch.device("cpu"), minutes=1.0) as alone:
        assert (alone.rank, alone.world_size) == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="no torch.distributed; train in one process"):
        with distributed.process_group(torch.device("cpu"), minutes=1.0):
            pass


@pytest.mark.parametrize(("has_nccl", "wanted"), [(True, "nccl"), (False, "gloo")])
def test_gpus_talk_by_gloo_where_there_is_no_nccl(has_nccl, wanted, monkeypatch):
    asked = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distributed.dist, "is_nccl_available", lambda: has_nccl)
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda backend, **options: asked.append(backend))
    monkeypatch.setattr(distributed.dist, "rendezvous", lambda *args, **options: iter([(None, 0, 2)]))
    monkeypatch.setattr(distributed.dist, "destroy_process_group", lambda: None)
    with distributed.process_group(torch.device("cuda"), minutes=1.0):
        pass
    assert asked == [wanted]


def test_a_pipe_that_knows_few_letters_ends_nothing(monkeypatch):
    """As on Windows, where a pipe takes the letters of a code page."""
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setattr("defdetr_ref.cli.evaluate.run", lambda args: print("naïve → 1×1"))
    assert main(["eval", "x", "--data", "d"]) == 0
    pipe.flush()
    assert pipe.buffer.getvalue().decode("ascii").strip() == r"na\xefve \u2192 1\xd71"
