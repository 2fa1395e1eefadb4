"""What every page of the package begins with, written once."""

from pathlib import Path

import defdetr_ref
from defdetr_ref.html_page import COLOURS, html_page


def test_the_title_is_text_and_the_rest_is_html():
    page = html_page("A & <b> $body", "<p>5 $ is <i>all</i></p>", style="p { color: var(--page-quiet); }", more="<x>")
    assert page.count("A &amp; &lt;b&gt; $body") == 2 and "<b>" not in page
    head, _, rest = page.partition("</head>")
    assert head.index(COLOURS) < head.index("p { color: var(--page-quiet); }") < head.index("<x>")
    assert rest.index("</h1>") < rest.index("<p>5 $ is <i>all</i></p>") < rest.index("</main>")


def test_no_file_of_the_package_writes_a_head_of_its_own():
    sources = {path: path.read_text(encoding="utf-8") for path in Path(defdetr_ref.__file__).parent.rglob("*.py")}
    assert [path.name for path, source in sources.items() if "<!doctype" in source.lower()] == ["html_page.py"]
