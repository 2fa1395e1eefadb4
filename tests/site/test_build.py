"""The built site: no warnings, no dead links, nothing from the network, everything that should be there."""

import functools
import inspect
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import defdetr_ref
from tests.site.building import ROOT, build, pages

pytestmark = pytest.mark.slow
LOADING = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"), ("link", "href")}
NOT_LOADED = {"next", "prev", "search", "index"}  # relations of <link> that are only named


class Page(HTMLParser):
    """Ids, links, and what the browser fetches by itself."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        for name in ("src", "href"):
            if (tag, name) in LOADING and values.get(name) and values.get("rel") not in NOT_LOADED:
                self.loaded.append(values[name])


@functools.cache
def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def page(name: str) -> str:
    folder, _ = build()
    return (folder / name).read_text(encoding="utf-8")


def test_the_build_has_no_warnings():
    _, done = build()
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_every_link_within_the_site_leads_somewhere():
    dead, checked = [], 0
    for path in pages():
        for link in [*read(path).links, *read(path).loaded]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            checked += 1
            if not target.is_file():
                dead.append(f"{path.name}: {link}: no such file")
            elif "=" in parts.fragment and "_static" in target.parts:
                continue  # a state of the laboratory, see tests/live/laboratory
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).ids:
                dead.append(f"{path.name}: {link}: no such place")
    assert not dead, "\n".join(dead)
    assert checked > 1000


def test_nothing_is_loaded_from_elsewhere():
    elsewhere = {link for path in pages() for link in read(path).loaded if urlsplit(link).scheme not in ("", "data")}
    elsewhere |= {link for path in pages() for link in read(path).loaded if link.startswith("//")}
    assert elsewhere == set()


def test_every_notebook_is_a_page_in_the_contents():
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    contents = page("index.html")
    assert notebooks
    for path in notebooks:
        assert f'href="notebooks/{path.stem}.html"' in contents, path.name


def test_every_public_name_is_in_the_api():
    text = "".join(path.read_text(encoding="utf-8") for path in pages() if path.parent.name == "api")
    for name in defdetr_ref.__all__:
        thing = getattr(defdetr_ref, name)
        full = thing.__name__ if inspect.ismodule(thing) else f"{thing.__module__}.{thing.__qualname__}"
        anchor = f'id="module-{full}"' if inspect.ismodule(thing) else f'id="{full}"'
        assert anchor in text, name


def test_the_api_shows_shapes_tables_and_parameters():
    attention = page("api/attention.html")
    assert "batch query head level point 2" in re.sub(r"<[^>]+>", "", attention)  # of a signature
    assert "<table" in attention and "|---" not in attention
    operator = page("api/operator.html")
    assert "<strong>attention_weights</strong>" in operator


def test_a_difference_leads_to_its_line():
    link = re.search(r'href="_modules/defdetr_ref/proposals.html#line-(\d+)"><code[^>]*><span class="pre">scores',
                     page("paper_and_code.html"))  # fmt: skip
    assert link
    source = (ROOT / "defdetr_ref" / "proposals.py").read_text(encoding="utf-8").splitlines()
    assert "scores = proposals.logits[..., 0]" in source[int(link[1]) - 1]


def test_what_is_written_as_code_leads_to_the_api_and_the_source():
    house = page("house.html")
    assert 'href="_modules/defdetr_ref/boxes.html"' in house
    assert 'href="api/detector.html#defdetr_ref.dense.DetrBaseline"' in house
