"""Mistakes that a learner may make in notebook 01; test_course.py shows that each is refused."""

import math

import pytest

from defdetr_ref.course import exercises
from defdetr_ref.course.exercises.n01 import bilinear, slope_x


def read(image, x, y, *, floor=math.floor, clamp=False, wrap=False, share=None, inside=None):
    """The bilinear read with one thing done otherwise."""
    height, width = image.shape
    left, top = floor(x), floor(y)
    share = share or (lambda dx, dy: (1 - abs(dx)) * (1 - abs(dy)))
    inside = inside or (lambda row, column: 0 <= row < height and 0 <= column < width)
    value = 0.0
    for row in (top, top + 1):
        for column in (left, left + 1):
            if clamp:
                nearest_row, nearest_column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
                value += share(x - column, y - row) * image[nearest_row, nearest_column]
            elif wrap:
                value += share(x - column, y - row) * image[row % height, column % width]
            elif inside(row, column) and 0 <= row < height and 0 <= column < width:
                value += share(x - column, y - row) * image[row, column]
    return value


def only_where_all_four_are_inside(image, x, y):
    height, width = image.shape
    return bilinear(image, x, y) if 0 <= x <= width - 1 and 0 <= y <= height - 1 else 0.0


def negative_index(image, x, y):
    height, width = image.shape
    return read(image, x, y, wrap=True) if -1 < x < width and -1 < y < height else 0.0


def nearest(image, x, y):
    height, width = image.shape
    row, column = round(y), round(x)
    return image[row, column] if 0 <= row < height and 0 <= column < width else 0.0


def ceil_for_the_next_pixel(image, x, y):
    """On a whole number floor and ceil are the same pixel, which counts twice in x and twice in y."""
    height, width = image.shape
    value = 0.0
    for row in (math.floor(y), math.ceil(y)):
        for column in (math.floor(x), math.ceil(x)):
            if 0 <= row < height and 0 <= column < width:
                value += (1 - abs(x - column)) * (1 - abs(y - row)) * image[row, column]
    return value


def zeroes_the_image(image, x, y):
    value = float(bilinear(image, x, y))
    image.zero_()
    return value


BILINEAR_MISTAKES = {
    "ceil instead of floor + 1": ceil_for_the_next_pixel,
    "zeroes the image": zeroes_the_image,
    "views a flat image": lambda image, x, y: bilinear(image.view(-1).view(image.shape), x, y),
    "x and y swapped": lambda image, x, y: bilinear(image, y, x),
    "rows and columns swapped": lambda image, x, y: bilinear(image.T, x, y),
    "height and width swapped in the border": lambda image, x, y: read(
        image, x, y, inside=lambda row, column: row < image.shape[1] and column < image.shape[0]
    ),
    "border clamped": lambda image, x, y: read(image, x, y, clamp=True),
    "index -1 reads the other side": negative_index,
    "wraps around": lambda image, x, y: read(image, x, y, wrap=True),
    "zero unless all four pixels are inside": only_where_all_four_are_inside,
    "nearest pixel": nearest,
    "int() instead of floor": lambda image, x, y: read(image, x, y, floor=int),
    "shares mixed up": lambda image, x, y: read(image, x, y, share=lambda dx, dy: abs(dx) * abs(dy)),
    "shares added": lambda image, x, y: read(image, x, y, share=lambda dx, dy: (2 - abs(dx) - abs(dy)) / 4),
    "plain mean of four": lambda image, x, y: read(image, x, y, share=lambda dx, dy: 0.25),
    "half a pixel subtracted again": lambda image, x, y: bilinear(image, x - 0.5, y - 0.5),
    "last row and column forgotten": lambda image, x, y: bilinear(image[:-1, :-1], x, y),
}


def slope(image, x, y, *, weight, clamp=False, rows=2):
    """The slope with one thing done otherwise; weight(sign, dx, dy)."""
    height, width = image.shape
    left, top = math.floor(x), math.floor(y)
    total = 0.0
    for row in (top, top + 1)[:rows]:
        for column, sign in ((left, -1), (left + 1, 1)):
            place = (min(max(row, 0), height - 1), min(max(column, 0), width - 1))
            if clamp or place == (row, column):
                total += weight(sign, x - column, y - row) * image[place]
    return total


def right(sign, dx, dy):
    return sign * (1 - abs(dy))


SLOPE_MISTAKES = {
    "the slope along y": lambda image, x, y: slope_x(image.T, y, x),
    "x and y swapped": lambda image, x, y: slope_x(image, y, x),
    "sign turned round": lambda image, x, y: -slope_x(image, x, y),
    "share of x kept": lambda image, x, y: slope(
        image, x, y, weight=lambda sign, dx, dy: sign * (1 - abs(dx)) * (1 - abs(dy))
    ),
    "share of y forgotten": lambda image, x, y: slope(image, x, y, weight=lambda sign, dx, dy: sign),
    "no signs": lambda image, x, y: slope(image, x, y, weight=lambda sign, dx, dy: 1 - abs(dy)),
    "the upper row alone": lambda image, x, y: slope(image, x, y, weight=right, rows=1),
    "border clamped": lambda image, x, y: slope(image, x, y, weight=right, clamp=True),
    "times the width": lambda image, x, y: slope_x(image, x, y) * image.shape[1],
    "difference of the neighbours": lambda image, x, y: (bilinear(image, x + 1, y) - bilinear(image, x - 1, y)) / 2,
    "the value": bilinear,
    "always zero, as of rounded coordinates": lambda image, x, y: 0.0,
}
MISTAKES = {"01-bilinear": BILINEAR_MISTAKES, "01-slope": SLOPE_MISTAKES}


def test_the_sentence_names_the_pixel_centre_and_the_hint_says_why():
    with pytest.raises(exercises.WrongAnswer) as caught:
        exercises.check("01-bilinear", ceil_for_the_next_pixel)
    assert str(caught.value) == (
        "01-bilinear: not right yet: the value at x = 1.3, y = 1.0 of 2 × 3 pixels: yours is 41.6, expected 20.8. "
        "Hint: On a pixel centre math.ceil is math.floor, and the same pixel counts twice; the next one is floor + 1."
    )
    image, x, y = exercises.failing("01-bilinear").arguments
    assert float(ceil_for_the_next_pixel(image, x, y)) == 2 * float(bilinear(image, x, y))
