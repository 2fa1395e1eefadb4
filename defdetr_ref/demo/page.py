"""A report as one web page: text, a table and pictures that lie beside it. Opens from disk, needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from defdetr_ref.html_page import html_page

STYLE = """main { max-width: 60rem; }
h1 { font-size: 1.9rem; }
h2 { font-size: 1.2rem; margin: 0 0 .4rem; }
section { background: var(--page-plate); border: 1px solid var(--page-line); border-radius: 8px; }
section { padding: 1.25rem 1.5rem; margin-top: 1.25rem; }
section p { margin: 0 0 .9rem; max-width: 52rem; }
img { max-width: 100%; height: auto; display: block; margin: 0 auto; border-radius: 6px; }
iframe { width: 100%; height: 56rem; border: 0; border-radius: 8px; }
.tables { display: flex; flex-wrap: wrap; gap: 1rem 3rem; align-items: flex-start; }
table { border-collapse: collapse; font-size: .95rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
td { padding: .22rem 1.2rem .22rem 0; border-top: 1px solid var(--page-line); }
td:last-child { padding-right: 0; text-align: right; font-variant-numeric: tabular-nums; }
footer { margin-top: 1.5rem; font-size: .85rem; color: var(--page-quiet); }
/* Pictures have a white ground: on a dark page they are grey paper, not a lamp. */
@media (prefers-color-scheme: dark) { img { filter: brightness(.78); } }"""

BODY = Template("""<p>$lead</p>
<section>
<h2>Figures</h2>
<p>$tables_text</p>
<div class="tables">
$tables
</div>
</section>
$pictures
<footer>$footer</footer>""")

PICTURE = Template("""<section>
<h2>$title</h2>
<p>$text</p>
<a href="$file"><img src="$file" alt="$title"></a>
</section>""")

EMBEDDED = Template("""<section>
<h2>$title</h2>
<p>$text <a href="$file">Open it on a page of its own.</a></p>
<iframe src="$file" title="$title"></iframe>
</section>""")


@dataclass(frozen=True)
class PictureSection:
    """One picture of the page: a file beside it, and a paragraph that says what to see in it."""

    title: str
    text: str
    file: str


@dataclass(frozen=True)
class EmbeddedSection(PictureSection):
    """Another page shown within this one: a file beside it, and a paragraph that says what to do with it."""


def write_page(
    path: Path,
    title: str,
    lead: str,
    tables_text: str,
    tables: Mapping[str, Mapping[str, str]],
    pictures: Sequence[PictureSection],
    footer: str,
) -> None:
    """Write the page. tables: caption -> {row: value}. All text is plain; what HTML would read as code is escaped."""
    body = BODY.substitute(
        lead=escape(lead),
        tables_text=escape(tables_text),
        tables="\n".join(_table(caption, rows) for caption, rows in tables.items()),
        pictures="\n".join(_picture(picture) for picture in pictures),
        footer=escape(footer),
    )
    path.write_text(html_page(title, body, style=STYLE), encoding="utf-8", newline="\n")


def _table(caption: str, rows: Mapping[str, str]) -> str:
    cells = "\n".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f"<table><caption>{escape(caption)}</caption>\n{cells}\n</table>"


def _picture(picture: PictureSection) -> str:
    template = EMBEDDED if isinstance(picture, EmbeddedSection) else PICTURE
    return template.substitute(title=escape(picture.title), text=escape(picture.text), file=escape(picture.file))
