"""Picture files as RGB in eight bits, upright: one rule for training, evaluation and detection.

A camera that was held sideways stores what its sensor saw, and how to turn it: EXIF's orientation, 2 to 8. Boxes belong
to the picture as it was seen when they were drawn, and programs to annotate (browsers, hence CVAT, Label Studio,
Roboflow) show it upright; detectron2 and OpenCV's reader turn it, too. torchvision's CocoDetection, and with it the
published code, reads the pixels as they are stored. The pictures of COCO itself are the same either way.
"""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

# EXIF orientation → what makes the picture upright; 1 is upright already.
UPRIGHT = 1
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")  # modes of Pillow
WIDE_BUT_SIXTEEN = ("PNG", "PPM")  # formats whose pictures of 16 bits Pillow may open in mode "I", of 32 bits
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # tags of TIFF
WHITE_IS_ZERO = 0


def read_picture(path: str | Path) -> tuple[Image.Image, int]:
    """The picture in RGB, turned upright, and the EXIF orientation in which it was stored (1: it was not turned).

    Grey of 16 bits is scaled to eight, the whole range to the whole range. Raises ValueError naming the file for one
    that cannot be decoded, and for numbers whose range nothing tells: floats, and whole numbers of 32 bits.
    """
    try:
        with Image.open(path) as file:
            orientation = stored_orientation(file)
            file.load()
            picture = _in_eight_bits(file).convert("RGB")
            turned_already = file.format == "TIFF"  # by Pillow, while it loads
    except Exception as error:  # Pillow raises whatever a damaged file provokes, IndexError and struct.error among it
        raise ValueError(f"{path} cannot be read as an image ({error or type(error).__name__})") from error
    if orientation != UPRIGHT and not turned_already:
        picture = picture.transpose(TURNS[orientation])
    return picture, orientation


def stored_orientation(picture: Image.Image) -> int:
    """EXIF's orientation of an opened file, 1 to 8; 1 where there is none, or one that cannot be read."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
        return orientation if orientation in TURNS else UPRIGHT
    except Exception:  # the notes of a picture may be damaged where its pixels are not
        return UPRIGHT


def _in_eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits scaled; other modes as they are. Raises ValueError for a mode without a known range."""
    if picture.mode in SIXTEEN_BITS or (picture.mode == "I" and picture.format in WIDE_BUT_SIXTEEN):
        bits = 16
        if picture.format == "TIFF":
            (bits,) = picture.tag_v2[BITS_PER_SAMPLE]  # 12 or 16
            if picture.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:
                raise ValueError("its grey counts down from white, which is not read in 16 bits; save it as PNG")
        largest = 2**bits - 1
        grey = np.asarray(picture).astype(np.int64)
        return Image.fromarray(((grey * 255 + largest // 2) // largest).astype(np.uint8))
    if picture.mode in ("I", "F"):
        kind = "floats" if picture.mode == "F" else "whole numbers of 32 bits"
        raise ValueError(f"its pixels are {kind}, whose black and white nothing tells; save it with 8 or 16 bits")
    return picture
