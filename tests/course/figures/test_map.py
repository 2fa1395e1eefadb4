"""The map: every notebook has one box, links lead to files, boxes lie where they can be read."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from defdetr_ref.course.figures.map import (
    ARROWS,
    BOX_HEIGHT,
    BOX_WIDTH,
    BOXES,
    FRAME_MARGIN,
    FRAMES,
    HEIGHT,
    NOTEBOOKS,
    WIDTH,
    model_map,
    notebook_file,
)

FOLDER = Path(__file__).resolve().parents[3] / "notebooks"


def links() -> list[ElementTree.Element]:
    without_script = re.sub(r"<script>.*?</script>", "", model_map(), flags=re.S)
    return list(ElementTree.fromstring(without_script).iter("a"))


def test_each_notebook_but_the_map_itself_is_linked_once_by_its_number():
    drawn = sorted((link.find("b").text[:2], link.get("href")) for link in links())
    expected = [(f"{number:02d}", notebook_file(number)) for number in range(1, len(NOTEBOOKS))]
    assert drawn == expected, "BOXES in defdetr_ref/course/figures/map.py needs one MapBox for each notebook but 00"


def test_links_lead_to_the_notebooks_that_are_there():
    there = sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.ipynb"))
    assert list(NOTEBOOKS) == there, "defdetr_ref/course/lessons.py must name the files of notebooks/"


def test_names_begin_with_their_number_and_numbers_must_exist():
    count = len(NOTEBOOKS)
    assert [int(name[:2]) for name in NOTEBOOKS] == list(range(count)), "number the notebooks without a gap"
    with pytest.raises(ValueError, match=f"notebook {count} does not exist; the course has 00 to {count - 1}"):
        notebook_file(count)


def test_boxes_lie_in_a_frame_and_apart_from_each_other():
    for box in BOXES:
        assert FRAME_MARGIN < box.left and box.left + BOX_WIDTH < WIDTH - FRAME_MARGIN
        frames = [frame for frame in FRAMES if frame.top < box.top and box.top + BOX_HEIGHT < frame.top + frame.height]
        assert len(frames) == 1, f"the box {box.title!r} must lie inside a frame; move it, or make the frame larger"
    for one in BOXES:
        for other in BOXES:
            apart = abs(one.left - other.left) > BOX_WIDTH or abs(one.top - other.top) > BOX_HEIGHT
            assert one is other or apart, f"the boxes {one.title!r} and {other.title!r} overlap; move one of them"
    assert max(frame.top + frame.height for frame in FRAMES) < HEIGHT


def test_arrows_end_at_the_edge_of_a_box():
    def on_an_edge(x: int, y: int) -> bool:
        sides = [(x - box.left, y - box.top) for box in BOXES]
        return any(
            (dx in (0, BOX_WIDTH) and 0 < dy < BOX_HEIGHT) or (dy in (0, BOX_HEIGHT) and 0 < dx < BOX_WIDTH)
            for dx, dy in sides
        )

    assert all(on_an_edge(*points[-1]) for points in ARROWS)
    assert all(on_an_edge(*points[0]) for points in ARROWS[1:])  # the first comes from the image


def test_the_map_loads_nothing():
    page = model_map()
    assert "http" not in page and "src=" not in page and "@import" not in page
    assert page == model_map()
