"""MathJax from a Python package's files instead of the network, so that formulas are set on a page opened from disk."""

import hashlib
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

PACKAGE = "sphinx-mathjax-offline"  # it holds MathJax's own files; as a Sphinx extension it would copy 24 MB of them
FILE = "tex-svg-full.js"  # one file: all of TeX, glyphs as SVG paths, nothing that is loaded later
SHA256 = "a4354ff94fd868aea0cc6eaaa79a57fda0588646fc46ee3700a349ee0a11cbe6"  # of MathJax 3.2.2


def find_mathjax() -> Path:
    """The file in the installed package. Raises ExtensionError if it is not there, or is another one."""
    try:
        path = Path(str(distribution(PACKAGE).locate_file(f"{PACKAGE}/static/mathjax/{FILE}")))
    except PackageNotFoundError:
        raise ExtensionError(f"the package {PACKAGE} is not installed; pip install '.[docs]' brings it") from None
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ExtensionError(f"{path} is missing or not MathJax 3.2.2; pip install --force-reinstall {PACKAGE}==0.0.2")
    return path


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / app.config.mathjax_path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(find_mathjax(), target)


def setup(app: Sphinx) -> dict[str, bool]:
    find_mathjax()  # before the work, not after it
    app.config.mathjax_path = f"mathjax/{FILE}"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True}
