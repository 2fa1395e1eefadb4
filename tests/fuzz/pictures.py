"""Files of pictures: RGB of a known size, or refused in one sentence."""

import io
import random
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from defdetr_ref.data.pictures import TURNS, UPRIGHT, read_picture
from tests.fuzz.campaign import assert_is_a_sentence
from tests.fuzz.mutations import spoil_bytes

LARGEST_SIDE = 2000  # px; larger ones that a spoilt file claims are as valid, and slow


def good_files() -> list[bytes]:
    """A small picture in each format and mode that is common, some with EXIF."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (17, 24, 3), dtype=np.uint8)
    rgb, deep = Image.fromarray(colour), Image.fromarray(colour[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    settings = [
        (rgb, "PNG", {}), (rgb, "PNG", {"exif": exif}), (rgb.convert("P"), "PNG", {}), (rgb.convert("1"), "PNG", {}),
        (rgb.convert("RGBA"), "PNG", {}), (deep, "PNG", {"exif": exif}), (rgb, "JPEG", {}),
        (rgb, "JPEG", {"exif": exif}),
        (rgb.convert("CMYK"), "JPEG", {}), (rgb, "JPEG", {"progressive": True}), (rgb, "TIFF", {"exif": exif}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}), (deep, "TIFF", {}), (rgb.convert("F"), "TIFF", {}),
        (rgb.convert("I"), "TIFF", {}), (rgb, "BMP", {}), (rgb.convert("P"), "GIF", {}), (rgb, "PPM", {}),
        (deep, "PPM", {}),
        (rgb, "WEBP", {"exif": exif}), (rgb, "JPEG2000", {}), (deep, "JPEG2000", {}), (rgb, "TGA", {}),
    ]  # fmt: skip
    files = []
    for picture, kind, options in settings:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        files.append(file.getvalue())
    return files


class Target:
    """One file, written anew for each case."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "picture.img"
        self.good = good_files()

    def case(self, rng: random.Random) -> str:
        self.path.write_bytes(spoil_bytes(rng.choice(self.good), rng, self.good))
        if self._claims_too_much():
            return "left out, as it claims to be large"
        try:
            picture, orientation = read_picture(self.path)
        except ValueError as error:
            assert_is_a_sentence(error, self.path)
            return "refused"
        assert picture.mode == "RGB" and min(picture.size) > 0, picture
        assert orientation == UPRIGHT or orientation in TURNS, orientation
        assert np.asarray(picture).shape == (picture.height, picture.width, 3)
        return "read"

    def _claims_too_much(self) -> bool:
        try:
            with Image.open(self.path) as file:
                return max(file.size) > LARGEST_SIDE
        except Exception:
            return False
