"""Names of the package, wherever a page writes them as `code`, become links to the API or to the source.

| written                                       | leads to                                     |
|-----------------------------------------------|----------------------------------------------|
| `proposals.TwoStageQueries`, `RefiningDecoder` | its entry in the API                         |
| `ops/loops.py`                                | the page with its source                     |
| a link to a line, see `source_lines.py`       | that line of the page with the source        |
"""

import re
from pathlib import PurePosixPath

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from site_parts.source_lines import each_link, find_line

PACKAGE = "defdetr_ref"
NAME = re.compile(r"^[A-Za-z_][\w.]*$")
LINE_NUMBER = re.compile(r'<span class="linenos">( *(\d+))</span>')
SEPARATOR = " :: "
log = logging.getLogger(__name__)


def source_page(file: str) -> str:
    """The page that viewcode writes for a file of the package."""
    path = PurePosixPath(file.removeprefix("cuda/")).with_suffix("")
    return f"_modules/{path.parent if path.name == '__init__' else path}"


class LineRole(SphinxRole):
    """{line}`defdetr_ref/decoder.py :: boxes.detach()`: made from a link by `lines_as_roles`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        file, code = self.text.split(SEPARATOR, 1)
        try:
            number = find_line(file, code)
        except ValueError as error:
            log.warning(str(error), location=self.get_location(), type="source_links")
            return [nodes.literal(code, code)], []
        page = f"{self.env.app.builder.get_relative_uri(self.env.docname, source_page(file))}#line-{number}"
        link = nodes.reference("", "", nodes.literal(code, code), refuri=page, internal=True, classes=["source-line"])
        return [link], []


def lines_as_roles(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = each_link(source[0], lambda code, file, _: f"{{line}}`{file}{SEPARATOR}{code}`")


class NameLinks(SphinxPostTransform):
    """Looks at every piece of code in running text, after all pages are read."""

    default_priority = 9

    def run(self, **_: object) -> None:
        for node in list(self.document.findall(nodes.literal)):
            if not isinstance(node.parent, (nodes.reference, nodes.title)) and not node.get("classes"):
                address = self.address_of(node.astext())
                if address:
                    link = nodes.reference("", "", refuri=address, internal=True)
                    node.replace_self(link)
                    link += node

    def address_of(self, text: str) -> str | None:
        if text.endswith(".py"):
            return self.address_of_file(text)
        name = text.removesuffix("()").removeprefix(f"{PACKAGE}.")
        if not NAME.match(name) or not ("." in name or name[0].isupper() or name == "ms_deform_attn"):
            return None  # a short name may as well be a variable of the reader's
        entries = self.env.domains.python_domain.objects
        matches = [full for full in entries if f".{full}".endswith(f".{name}")]
        exact = [full for full in matches if full in (name, f"{PACKAGE}.{name}")]
        found = exact or matches
        if len(found) != 1:
            return None
        entry = entries[found[0]]
        return self.env.app.builder.get_relative_uri(self.env.docname, entry.docname) + f"#{entry.node_id}"

    def address_of_file(self, text: str) -> str | None:
        modules = getattr(self.env, "_viewcode_modules", {})
        pages = [source_page(f"{name.replace('.', '/')}.py") for name, entry in modules.items() if entry]
        found = [page for page in pages if f"{page}.py".endswith(f"/{text}")]
        exact = [page for page in found if page == source_page(f"{PACKAGE}/{text}")]
        found = exact or found
        return self.env.app.builder.get_relative_uri(self.env.docname, found[0]) if len(found) == 1 else None


def anchors_at_lines(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    if page.startswith("_modules/"):
        anchor = r'<a class="linenos" id="line-\2" href="#line-\2">\1</a>'
        context["body"] = LINE_NUMBER.sub(anchor, context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_role("line", LineRole())
    app.add_post_transform(NameLinks)
    app.connect("source-read", lines_as_roles)
    app.connect("html-page-context", anchors_at_lines)
    return {"parallel_read_safe": True}
