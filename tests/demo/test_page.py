"""The report page: everything given is on it, escaped, and nothing comes from elsewhere."""

from html.parser import HTMLParser
from pathlib import Path

from defdetr_ref.demo.page import EmbeddedSection, PictureSection, write_page


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.files, self.cells, self.open_tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.files += [value for name, value in attributes if name in ("src", "href")]
        self.open_tags.append(tag)

    def handle_data(self, data):
        if self.open_tags and self.open_tags[-1] == "td" and data.strip():
            self.cells.append(data)


def page_of(folder: Path) -> str:
    pictures = [PictureSection("A <b> & more", "5 < 6 $title", "a.png"), PictureSection("Second", "text", "b.png")]
    tables = {"Quality": {"AP": "41.5", "AP50": "–"}, "Effort": {"epochs": "3"}}
    write_page(folder / "index.html", "Title & co", "Lead.", "What the tables say.", tables, pictures, "Made by us.")
    return (folder / "index.html").read_text(encoding="utf-8")


def test_tables_and_pictures_are_on_the_page(tmp_path):
    page = Links()
    page.feed(page_of(tmp_path))
    assert page.files == ["a.png", "a.png", "b.png", "b.png"]
    assert page.cells == ["AP", "41.5", "AP50", "–", "epochs", "3"]


def test_text_is_escaped_and_dollars_survive(tmp_path):
    page = page_of(tmp_path)
    assert "A &lt;b&gt; &amp; more" in page and "5 &lt; 6 $title" in page and "<title>Title &amp; co</title>" in page


def test_nothing_is_fetched_from_a_network(tmp_path):
    page = page_of(tmp_path)
    assert "http" not in page and "//" not in page and "<script" not in page and "@import" not in page


def test_another_page_is_shown_and_linked(tmp_path):
    write_page(
        tmp_path / "index.html", "T", "L", "", {}, [EmbeddedSection("Look & see", "Text.", "explorer.html")], "F"
    )
    page = Links()
    page.feed((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert (
        page.files == ["explorer.html", "explorer.html"] and "iframe" in page.open_tags and "img" not in page.open_tags
    )
