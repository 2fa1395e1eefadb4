"""A notebook is run to its end, whatever is in it."""

import pytest

from defdetr_ref.grading import running
from defdetr_ref.grading.running import code_cells, run_notebook
from tests.grading.notebooks import write_notebook

pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")
ENOUGH = 60  # seconds for a cell that ends


def failures(run):
    return [(cell.number, cell.error) for cell in run.failed]


def test_cells_that_raise_or_ask_do_not_stop_those_behind_them(tmp_path):
    done = tmp_path / "done.txt"
    path = write_notebook(
        tmp_path / "00.ipynb",
        "x = 1",
        "1 / 0",
        "this is no Python",
        "input()",
        "import sys; sys.exit()",
        "open('done.txt', 'w', encoding='utf-8').write(str(x))",
    )
    run = run_notebook(path, ENOUGH)
    assert failures(run) == [
        (2, "ZeroDivisionError"),
        (3, "SyntaxError"),
        (4, "StdinNotImplementedError"),
        (5, "SystemExit"),
    ]
    assert run.failed[0].what == "ZeroDivisionError: division by zero" and run.failed[0].source == "1 / 0"
    assert done.read_text(encoding="utf-8") == "1"  # written in the notebook's own folder
    assert run.solved == frozenset() and run.seconds > 0


def test_an_endless_loop_is_interrupted_and_the_rest_is_run(tmp_path):
    path = write_notebook(tmp_path / "00.ipynb", "while True:\n    print('.')", "undefined")
    run = run_notebook(path, 1)
    assert failures(run) == [(1, ""), (2, "NameError")]
    assert run.failed[0].what == "interrupted after 1 seconds"


def test_a_loop_that_will_not_be_interrupted_ends_the_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "INTERRUPT_SECONDS", 1)
    stubborn = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    run = run_notebook(write_notebook(tmp_path / "00.ipynb", stubborn, "undefined"), 1)
    assert failures(run) == [(1, "")]
    assert run.failed[0].what == "still at work 1 seconds after it was interrupted; the rest was not run"


def test_a_cell_that_ends_python_ends_the_notebook(tmp_path):
    run = run_notebook(write_notebook(tmp_path / "00.ipynb", "1", "import os; os._exit(3)", "undefined"), ENOUGH)
    assert failures(run) == [(2, "")] and run.failed[0].what == "it ended Python; the rest was not run"


@pytest.mark.parametrize("content", ["", "[]", '{"cells": 3}', '{"cells": [{}]}', '{"worksheets": []}'])
def test_what_is_no_notebook_is_told(tmp_path, content):
    path = tmp_path / "00_map.ipynb"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="00_map.ipynb is no notebook that can be read"):
        code_cells(path)
