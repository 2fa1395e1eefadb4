"""The page's ES modules, and as one script without imports, for a page that opens from disk.

In a page opened from disk a module cannot import another one. So all of them are written one after another into one
scope, which needs no bundler, as long as no name is declared twice; a browser refuses a script where one is.
"""

import posixpath
import re
from pathlib import Path

from defdetr_ref.live.assembler import assemble

WEB = Path(__file__).parent / "web"
KERNEL = "matmul.wat"
IMPORT = re.compile(r'^import \{[^}]*\} from "(\.[\w./]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) )", re.MULTILINE)


def kernel() -> bytes:
    """The matrix product in WebAssembly, see web/matmul.wat."""
    return assemble((WEB / KERNEL).read_text(encoding="utf-8"))


def modules_before(name: str) -> list[str]:
    """The files that a module needs, and itself, as paths within web/: each after those that it imports."""
    order: list[str] = []

    def visit(module: str) -> None:
        if module not in order:
            for imported in IMPORT.findall((WEB / module).read_text(encoding="utf-8")):
                visit(posixpath.normpath(posixpath.join(posixpath.dirname(module), imported)))
            order.append(module)

    visit(name)
    return order


def script(name: str = "live.js") -> str:
    """A module with all that it imports, as one script for `<script type="module">`."""
    parts = []
    for module in modules_before(name):
        source = (WEB / module).read_text(encoding="utf-8")
        parts.append(f"// {module}\n\n{EXPORT.sub('', IMPORT.sub('', source)).strip()}\n")
    return "\n".join(parts)
