"""Names drawn into pictures: in one font, which does not have the letters of every language."""

from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font, in pixels."""
    return ImageFont.truetype(FONT, size)


@cache
def _face() -> FT2Font:
    return FT2Font(str(FONT))


def drawable(text: str) -> bool:
    """Whether the font has every letter of it; what it lacks would be drawn as an empty box."""
    return all(_face().get_char_index(ord(letter)) for letter in text)


def name_of(category: str, label: int) -> str:
    """What a category is called in a picture: its name, or its id if the name cannot be drawn."""
    return category if drawable(category) else f"category {label}"


def drawable_part(text: str) -> str:
    """The text with a ? for each letter that cannot be drawn."""
    return "".join(letter if drawable(letter) else "?" for letter in text)
