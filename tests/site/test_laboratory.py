"""The laboratory on the site, and its moving picture in the README."""

import re

from PIL import Image
from site_parts.laboratory import (
    COMPARED,
    DETECTOR,
    EPOCHS_PAGE,
    LESSONS,
    OTHERS,
    OTHERS_PAGE,
    lesson_cells,
    others,
    tours,
)
from site_parts.laboratory_picture import FRAMES, LARGEST, PICTURE, SIDE, places

from defdetr_ref import zoo
from defdetr_ref.zoo.recipes import RECIPES
from tests.site.building import ROOT


def test_every_tour_is_named_and_those_of_lessons_exist():
    assert len(tours()) >= 5
    assert set(LESSONS.values()) <= set(tours()) | set(COMPARED)
    notebooks = {path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(LESSONS) <= notebooks


def test_a_lesson_leads_to_its_tour_and_others_to_none():
    (cell,) = lesson_cells("07")
    link = re.search(r'<a href="([^"]+)">([^<]+)</a>', cell["source"])
    assert link[1] == f"../_static/{EPOCHS_PAGE}#tour=refinement"
    assert link[2] == tours()["refinement"] == "Why the gradient is blocked"
    assert lesson_cells("03") == []


def test_a_tour_that_compares_detectors_waits_for_them(monkeypatch):
    assert set(COMPARED) == {"dense", "refined"} and {name for names in COMPARED.values() for name in names} <= set(
        OTHERS
    )
    monkeypatch.setattr(zoo, "names", lambda: ["shapes", "shapes-one-stage", "shapes-plain"])
    assert "refined" in tours() and "dense" not in tours() and lesson_cells("11") == []
    monkeypatch.setattr(zoo, "names", lambda: ["shapes", "shapes-detr", "shapes-plain"])
    assert "dense" in tours() and "refined" not in tours()
    (cell,) = lesson_cells("11")
    assert f'href="../_static/{OTHERS_PAGE}#tour=dense">{tours()["dense"]}</a>' in cell["source"]


def test_every_other_detector_of_the_zoo_that_knows_shapes_is_there_to_compare():
    alike = {name for name, recipe in RECIPES.items() if recipe.data == RECIPES[DETECTOR].data and name != DETECTOR}
    assert set(OTHERS) == alike
    assert set(others().values()) == alike & set(zoo.names()) != set()


def test_the_picture_moves_and_is_small():
    assert PICTURE.stat().st_size <= LARGEST == 2_000_000
    with Image.open(PICTURE) as picture:
        assert picture.n_frames == FRAMES and picture.info["loop"] == 0
        assert abs(picture.width - SIDE) <= 1
    assert "docs/images/laboratory.png" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_shapes_come_back_to_where_they_began():
    path = list(places())
    for shape, begin in ((0, (0.31, 0.34)), (1, (0.69, 0.75))):
        way = [(x, y) for held, x, y in path if held == shape]
        assert len(way) == FRAMES // 2
        assert max(abs(place - first) for place, first in zip(way[-1], begin, strict=True)) < 1e-9
        assert all(0.1 < x < 0.9 and 0.1 < y < 0.9 for x, y in way)
