"""Shapes in the package's signatures are checked while the tests run. Any test may open a page in Chromium."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # transformers is an oracle built from configs; it never downloads
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DEFDETR_PROGRESS"] = ""  # whoever runs the tests has a course of their own

from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("defdetr_ref", "beartype.beartype")

from tests.browser.chromium import browser, page  # noqa: E402, F401
