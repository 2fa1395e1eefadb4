"""Which query is meant after a change in Python, and under a place; the page is tested with the same table."""

import pytest
from torch import nn

from defdetr_ref import explain
from defdetr_ref.explain.explorer.fit import query_under
from defdetr_ref.explain.explorer.state import describe
from tests.explain.explorer.fitting import CHANGES, CLICKS, NAMES, decoder, encoder, explorations

pytest.importorskip("anywidget")


@pytest.fixture
def explorer(monkeypatch):
    monkeypatch.setattr("defdetr_ref.explain.explorer.widget.open_images", lambda *_, **__: explorations())
    return explain.Explorer(nn.Identity(), None, categories={0: "thing"})


def view_of(explorer) -> dict:
    return {name: getattr(explorer, name) for name in NAMES}


@pytest.mark.parametrize("before, changes, after", CHANGES.values(), ids=CHANGES)
def test_a_change_in_python_leads_where_it_leads_in_the_page(explorer, before, changes, after):
    explorer.set_state(before)
    assert view_of(explorer) == before
    for name, value in changes.items():
        setattr(explorer, name, value)
    assert view_of(explorer) == after and explorer.status == ""


@pytest.mark.parametrize("before, changes, after", CHANGES.values(), ids=CHANGES)
def test_what_the_page_has_fitted_stays(explorer, before, changes, after):
    explorer.set_state(before)
    explorer.set_state({name: after[name] for name in NAMES if name in changes or after[name] != before[name]})
    assert view_of(explorer) == after and explorer.status == ""


def test_what_is_asked_for_beside_a_change_stays(explorer):
    explorer.set_state(decoder(2, layer=2))
    explorer.set_state({"part": "encoder", "layer": 0, "query": 2, "heads": [3]})  # the same number, of a pixel
    assert view_of(explorer) == encoder(2, heads=[3])


@pytest.mark.parametrize("view, place, level, query", CLICKS.values(), ids=CLICKS)
def test_the_query_under_a_place(view, place, level, query):
    image = describe(explorations(), {}).metadata["images"][view["image_index"]]
    layer = next(each for each in image["layers"] if (each["part"], each["layer"]) == (view["part"], view["layer"]))
    assert query_under(image, layer, place, level) == query
