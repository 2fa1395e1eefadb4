"""Names in pictures: what the font lacks is not drawn as empty boxes."""

import json
import shutil

import numpy as np
from PIL import Image

from defdetr_ref.cli.detect import draw
from defdetr_ref.cli.lettering import drawable, drawable_part, font, name_of
from tests.cli.commands import defdetr


def test_a_name_that_the_font_lacks_is_called_by_its_id():
    for name in ("circle", "Größe", "кот", "σ⁻¹"):
        assert drawable(name) and name_of(name, 3) == name
    for name in ("猫", "cat 猫", "\ud800"):
        assert not drawable(name) and name_of(name, 3) == "category 3"
    assert drawable_part("猫_12.png") == "?_12.png"


def test_letters_that_are_lacking_all_look_alike():
    """Why it matters: the font draws the same empty box for each of them."""
    assert bytes(font(11).getmask("猫")) == bytes(font(11).getmask("犬")) != bytes(font(11).getmask("c"))


def test_detections_are_drawn_with_the_id():
    picture = Image.new("RGB", (120, 60), "white")
    found = {"score": 0.5, "label": 2, "box": [20.0, 30.0, 90.0, 50.0]}
    with_id = np.array(draw(picture, [{**found, "category": "category 2"}]))
    assert np.array_equal(np.array(draw(picture, [{**found, "category": "猫"}])), with_id)
    assert not np.array_equal(np.array(draw(picture, [{**found, "category": "dog"}])), with_id)


def test_the_contact_sheet_is_drawn_with_the_id_and_the_page_has_the_name(drawn, tmp_path):
    sheets = []
    for name in ("猫", "category 1"):
        folder = tmp_path / name
        shutil.copytree(drawn, folder)
        for split in ("train", "val"):
            content = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
            content["categories"][0]["name"] = name
            (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")
        assert defdetr("check-data", "--data", folder, "--out", folder / "out") == 0
        sheets.append((folder / "out" / "contact_sheet.png").read_bytes())
        assert name in (folder / "out" / "index.html").read_text(encoding="utf-8")
    assert sheets[0] == sheets[1]
