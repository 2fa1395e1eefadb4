"""The recording behind the site's explorer is what today's explorer reads."""

import numpy as np
import torch
from site_parts.explorer import RECORDING, read_recording, write_recording

from defdetr_ref.explain.explorer.page import open_images
from defdetr_ref.explain.explorer.state import describe
from tests.site.building import DOCS
from tests.small_models import small_model

LARGEST = 600_000  # bytes; it is in the repository


def keys(value):
    """The names in nested dicts; of a list, those of its first element."""
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else None


def today():
    image = torch.randn(3, 96, 160, generator=torch.Generator().manual_seed(0))
    return describe(open_images(small_model("two"), [image]), {0: "circle"})


def test_it_has_the_form_that_is_written_today():
    """If this fails, the explorer reads something else now: run docs/explorer/record.py again."""
    stored, wanted = read_recording(DOCS / RECORDING)[0].metadata, today().metadata
    assert keys(stored) == keys(wanted) and stored["steps"] == wanted["steps"]


def test_its_table_holds_every_query():
    state, origin = read_recording(DOCS / RECORDING)
    assert len(state.metadata["images"]) == origin["images"] and (DOCS / RECORDING).stat().st_size < LARGEST
    rows = 0
    for image in state.metadata["images"]:
        for layer in image["layers"]:
            assert layer["inTable"] is None and layer["offset"] == rows
            rows += layer["queries"] * 2 * (4 + 3 * layer["heads"] * layer["levels"] * layer["points"])
    assert rows == len(state.table)


def test_its_model_has_learned():
    """An untrained model gives every object a score near 0.01."""
    state, _ = read_recording(DOCS / RECORDING)
    assert min(max(image["objects"]["scores"]) for image in state.metadata["images"]) > 0.3
    assert np.frombuffer(state.table, "<i2").std() > 100


def test_writing_and_reading_again(tmp_path):
    state = today()
    write_recording(tmp_path / "a.npz", state, {"epochs": 3})
    again, origin = read_recording(tmp_path / "a.npz")
    assert again == state and origin == {"epochs": 3}
