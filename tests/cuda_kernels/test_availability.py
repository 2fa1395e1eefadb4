"""What is missing is said in one sentence, and importing the package needs nothing of CUDA."""

import ctypes
import importlib.util
import os
import subprocess
import sys
import textwrap
from types import ModuleType

import defdetr_cuda
import numba
import pytest
import torch
from defdetr_cuda import availability


@pytest.fixture(autouse=True)
def ask_again():
    """The answer is kept for the process; these tests change what it depends on."""
    availability.why_unavailable.cache_clear()
    yield
    availability.why_unavailable.cache_clear()


@pytest.fixture
def complete_machine(monkeypatch):
    """Everything is there: a simulated numba-cuda, driver and GPU."""
    fake = ModuleType("numba.cuda")
    fake.is_available = lambda: True
    fake.compile_ptx = lambda function, signature: ("", None)
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setitem(sys.modules, "numba.cuda", fake)
    monkeypatch.setattr(numba, "cuda", fake, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    return fake


def fail(error):
    def call(*arguments):
        raise error

    return call


def test_a_complete_machine_lacks_nothing(complete_machine):
    assert defdetr_cuda.why_unavailable() is None


@pytest.mark.parametrize("lacking, message", {
    "simulator": (lambda patch, fake: patch.setenv("NUMBA_ENABLE_CUDASIM", "1"), "NUMBA_ENABLE_CUDASIM is set"),
    "numba-cuda": (lambda patch, fake: patch.setattr(importlib.util, "find_spec", lambda name: None),
                   r"numba-cuda is not installed; run: pip install 'defdetr-ref\[cuda\]'"),
    "torch": (lambda patch, fake: patch.setattr(torch.version, "cuda", None), "was built without CUDA"),
    "driver": (lambda patch, fake: patch.setattr(ctypes, "CDLL", fail(OSError("no such file"))),
               "NVIDIA driver is not installed"),
    "GPU": (lambda patch, fake: patch.setattr(torch.cuda, "is_available", lambda: False), "finds no NVIDIA GPU"),
    "compiler": (lambda patch, fake: patch.setattr(fake, "is_available", lambda: False),
                 r"finds no CUDA compiler \(NVVM\); run: pip install"),
    "import": (lambda patch, fake: patch.setattr(fake, "is_available", fail(ImportError("DLL load failed"))),
               r"numba-cuda does not import \(ImportError: DLL load failed\)"),
    "compilation": (lambda patch, fake: patch.setattr(fake, "compile_ptx", fail(AttributeError("no row_stack"))),
                    r"numba-cuda cannot compile here \(AttributeError: no row_stack\); run: pip install"),
}.values())  # fmt: skip
def test_what_is_missing_is_named(complete_machine, monkeypatch, lacking, message):
    lacking(monkeypatch, complete_machine)
    with pytest.raises(AssertionError, match=message):
        assert defdetr_cuda.why_unavailable() is None, defdetr_cuda.why_unavailable()


def test_the_compiler_is_tried():
    """A NumPy without a function that numba-cuda wants is noticed by compiling, and by nothing before."""
    pytest.importorskip("numba_cuda")
    code = """
        import numpy
        from unittest.mock import patch
        from defdetr_cuda.availability import _no_compiler
        import numba.cuda
        del numpy.vstack
        with patch.object(numba.cuda, "is_available", lambda: True):
            print(_no_compiler())
    """
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    finished = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert "cannot compile here (AttributeError: module 'numpy' has no attribute 'vstack')" in finished.stdout


def test_importing_the_package_imports_neither_the_compiler_nor_the_reference():
    code = "import sys, defdetr_cuda; print([n for n in sys.modules if n.startswith(('numba', 'defdetr_ref'))])"
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert finished.stdout.strip() == "[]"
