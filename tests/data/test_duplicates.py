"""Which images count as the same one."""

import io

import numpy as np
import pytest
from PIL import Image

from defdetr_ref.data.duplicates import Fingerprint, groups_of_duplicates


def picture(seed, size=(90, 60)):
    """A coarse pattern, as photographs have, with fine noise on it."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.fromarray(
        np.clip(np.asarray(coarse) + rng.normal(0, 4, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    )


def stored_anew(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def grouped(images):
    return groups_of_duplicates((name, Fingerprint.of(image)) for name, image in images.items())


def test_different_pictures_are_no_duplicates():
    assert grouped({seed: picture(seed) for seed in range(60)}) == []


def test_equal_pixels_are_told_from_pictures_stored_anew():
    images = {f"a{seed}": picture(seed) for seed in range(12)}
    images |= {"b3": picture(3), "b5": stored_anew(picture(5), 60), "b7": picture(7).resize((60, 40)), "c3": picture(3)}
    assert grouped(images) == [(["a3", "b3", "c3"], True), (["a5", "b5"], False), (["a7", "b7"], False)]


@pytest.mark.parametrize("turn", [Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180])
def test_a_turned_picture_is_another_one(turn):
    assert grouped({"a": picture(1), "b": picture(1).transpose(turn)}) == []


def test_the_same_pixels_in_another_shape_are_another_picture():
    flat = Image.new("RGB", (40, 30), "red")
    assert Fingerprint.of(flat).digest != Fingerprint.of(flat.resize((30, 40))).digest


def test_many_alike_are_compared_with_one_of_them(monkeypatch):
    calls = []
    monkeypatch.setattr(Fingerprint, "is_like", lambda one, other: calls.append(1) or True)
    images = {number: picture(0) for number in range(50)}
    assert grouped(images) == [(list(range(50)), True)]
    assert len(calls) == 49
