"""Notebooks on their way to the site."""

import json

import pytest
from site_parts.notebooks import WIDGET, adapt, copy_notebooks
from sphinx.errors import ExtensionError


def notebook(source="", data=None):
    cells = [{"cell_type": "markdown", "source": [source]}]
    return {"cells": cells + ([{"cell_type": "code", "outputs": [{"data": data}]}] if data else [])}


def test_links_are_those_of_the_site():
    text = "[one](01_one.ipynb), [two](02_two.ipynb), [house](../docs/house.md)"
    (cell,) = adapt(notebook(text), {"01_one.ipynb"})["cells"]
    assert cell["source"] == "[one](01_one.ipynb), two, [house](../house.md)"


def test_links_in_html_lead_to_pages():
    html = ['<a href="01_one.ipynb">', 'one</a> <a href="02_two.ipynb">two</a>']
    adapted = adapt(notebook(data={"text/html": html}), {"01_one.ipynb"})
    shown = adapted["cells"][1]["outputs"][0]["data"]["text/html"]
    assert shown == '<a href="01_one.html">one</a> <a href="#">two</a>'


def test_a_live_widget_is_refused_in_a_sentence():
    with pytest.raises(ExtensionError, match="save_explorer"):
        adapt(notebook(data={WIDGET: {}}), set())


def test_only_what_changed_is_written(tmp_path):
    source, target = tmp_path / "notebooks", tmp_path / "copies"
    source.mkdir()
    for name in ("01_one", "02_two"):
        (source / f"{name}.ipynb").write_text(json.dumps(notebook(name)), encoding="utf-8")
    copy_notebooks(source, target)
    before = (target / "01_one.ipynb").stat().st_mtime_ns
    (source / "02_two.ipynb").unlink()
    (source / "03_three.ipynb").write_text(json.dumps(notebook("3")), encoding="utf-8")
    copy_notebooks(source, target)
    assert sorted(path.name for path in target.iterdir()) == ["01_one.ipynb", "03_three.ipynb"]
    assert (target / "01_one.ipynb").stat().st_mtime_ns == before
