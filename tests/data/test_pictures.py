"""One rule for picture files: RGB in eight bits, upright."""

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image

from defdetr_ref.data.pictures import read_picture

# EXIF 2.3, orientation: at which sides of the picture the stored row 0 and column 0 are to be seen.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def upright_pixel(orientation, row, column, rows, columns):
    """(y, x) in the upright picture of a stored pixel, by the table alone."""
    place = {}
    for side, number, count in zip(SIDES[orientation], (row, column), (rows, columns), strict=True):
        axis = "y" if side in ("top", "bottom") else "x"
        place[axis] = number if side in ("top", "left") else count - 1 - number
    return place["y"], place["x"]


def save(path, pixels, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", SIDES)
def test_pictures_are_turned_upright(tmp_path, orientation, suffix):
    stored = np.zeros((24, 40, 3), dtype=np.uint8)
    stored[:8, :8] = 255  # a mark in the corner of row 0 and column 0
    save(tmp_path / f"a{suffix}", stored, orientation)
    picture, told = read_picture(tmp_path / f"a{suffix}")
    assert told == orientation
    assert picture.size == ((40, 24) if orientation < 5 else (24, 40))
    y, x = upright_pixel(orientation, 3, 3, 24, 40)
    pixels = np.asarray(picture)
    assert pixels[y, x].min() > 200 and pixels.mean() < 40


@pytest.mark.parametrize("orientation", [0, 9, 2**16 - 1])
def test_an_orientation_that_there_is_not_turns_nothing(tmp_path, orientation):
    save(tmp_path / "a.png", np.zeros((24, 40, 3), dtype=np.uint8), orientation)
    picture, told = read_picture(tmp_path / "a.png")
    assert picture.size == (40, 24) and told == 1


def test_damaged_exif_is_no_damaged_picture(tmp_path):
    Image.new("RGB", (40, 24), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 12)
    picture, told = read_picture(tmp_path / "a.jpg")
    assert picture.size == (40, 24) and told == 1


def test_exif_that_cannot_be_parsed_at_all_turns_nothing(tmp_path, monkeypatch):
    def damaged(self):
        raise struct.error("unpack requires a buffer of 4 bytes")  # one of many that Pillow lets through

    save(tmp_path / "a.png", np.zeros((24, 40, 3), dtype=np.uint8), 6)
    monkeypatch.setattr(Image.Image, "getexif", damaged)
    picture, told = read_picture(tmp_path / "a.png")
    assert picture.size == (40, 24) and told == 1


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm", ".jp2"])
def test_sixteen_bits_of_grey_are_scaled(tmp_path, suffix):
    grey = (np.arange(6 * 9).reshape(6, 9) * 1236).astype(np.uint16)  # from black to nearly white
    Image.fromarray(grey).save(tmp_path / f"a{suffix}")
    pixels = np.asarray(read_picture(tmp_path / f"a{suffix}")[0])
    expected = np.rint(grey / 65535 * 255)
    np.testing.assert_allclose(pixels, np.broadcast_to(expected[..., None], (6, 9, 3)), atol=0)


def test_sixteen_bits_are_turned_as_well(tmp_path):
    grey = np.zeros((6, 9), dtype=np.uint16)
    grey[0] = 65535
    save(tmp_path / "a.png", grey, 6)
    pixels = np.asarray(read_picture(tmp_path / "a.png")[0])
    assert pixels.shape == (9, 6, 3) and (pixels[:, -1] == 255).all() and (pixels[:, :-1] == 0).all()


def twelve_bits(width, rows):
    """A TIFF of grey with 12 bits: two pixels in three bytes."""
    data = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255])
        for row in rows
        for a, b in zip(row[::2], row[1::2], strict=True)
    )
    entries = {256: width, 257: len(rows), 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: len(rows), 279: len(data)}
    directory = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in entries.items())
    where = 8 + len(data)
    return struct.pack("<2sHL", b"II", 42, where) + data + struct.pack("<H", len(entries)) + directory + bytes(4)


def test_twelve_bits_of_grey_are_scaled(tmp_path):
    (tmp_path / "a.tif").write_bytes(twelve_bits(4, [[0, 4095, 2048, 16], [1024, 4080, 8, 0]]))
    pixels = np.asarray(read_picture(tmp_path / "a.tif")[0])
    assert pixels[..., 0].tolist() == [[0, 255, 128, 1], [64, 254, 0, 0]]


@pytest.mark.parametrize(("dtype", "words"), [(np.float32, "floats"), (np.int32, "whole numbers of 32 bits")])
def test_numbers_without_a_known_range_are_refused_by_name(tmp_path, dtype, words):
    Image.fromarray(np.ones((6, 9), dtype=dtype)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=f"a.tif cannot be read as an image .*its pixels are {words}") as error:
        read_picture(tmp_path / "a.tif")
    assert "8 or 16 bits" in str(error.value)


def test_grey_that_counts_down_from_white_is_refused_in_sixteen_bits(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.ones((6, 9), dtype=np.uint16)).save(file, "TIFF")
    black_is_zero, white_is_zero = (struct.pack("<HHLL", 262, 3, 1, value) for value in (1, 0))
    assert black_is_zero in file.getvalue()
    (tmp_path / "a.tif").write_bytes(file.getvalue().replace(black_is_zero, white_is_zero))
    with pytest.raises(ValueError, match="counts down from white"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(40), b"II*\0\x08\0\0\0\xff\xff" + bytes(90)]
)
def test_what_is_no_picture_is_told_in_one_sentence(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match="a.png cannot be read as an image") as error:
        read_picture(tmp_path / "a.png")
    assert "\n" not in str(error.value)
