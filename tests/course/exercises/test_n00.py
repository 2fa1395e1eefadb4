"""Mistakes that a learner may make in notebook 00; test_course.py shows that each is refused."""

import math

from defdetr_ref.course.exercises.n00 import SHAPES


def first_stride_alone(height, width, strides):
    return math.ceil(height / strides[0]) * math.ceil(width / strides[0])


TOKEN_MISTAKES = {
    "rounded down": lambda height, width, strides: sum((height // s) * (width // s) for s in strides),
    "rounded to the nearest": lambda height, width, strides: sum(round(height / s) * round(width / s) for s in strides),
    "the area divided once": lambda height, width, strides: sum(math.ceil(height * width / s) for s in strides),
    "the area rounded, not the sides": lambda height, width, strides: sum(
        math.ceil(height * width / s**2) for s in strides
    ),
    "the first stride alone": first_stride_alone,
    "sides added": lambda height, width, strides: sum(math.ceil(height / s) + math.ceil(width / s) for s in strides),
    "height taken for both": lambda height, width, strides: sum(math.ceil(height / s) ** 2 for s in strides),
    "not summed": lambda height, width, strides: [math.ceil(height / s) * math.ceil(width / s) for s in strides],
}


def height_and_width_swapped(shape: tuple) -> tuple:
    return (*shape[:-2], shape[-1], shape[-2])


SHAPE_MISTAKES = {
    "height and width swapped": SHAPES
    | {name: height_and_width_swapped(SHAPES[name]) for name in ("images", "C3", "C4")},
    "width before height in the mask": SHAPES | {"mask": (2, 128, 96)},
    "the batch forgotten": {name: shape[1:] for name, shape in SHAPES.items()},
    "C3 at stride 4": SHAPES | {"C3": (2, 96, 24, 32)},
    "tokens of the coarsest level alone": SHAPES | {"tokens": (2, 12, 96)},
    "channels before tokens": SHAPES | {"tokens": (2, 96, 252), "memory": (2, 96, 252)},
    "the encoder asks with object queries": SHAPES | {"encoder points": (2, 30, 4, 3, 4, 2)},
    "levels before heads": SHAPES | {"decoder points": (2, 30, 3, 4, 4, 2)},
    "points without coordinates": SHAPES | {"decoder points": (2, 30, 4, 3, 4)},
    "one level": SHAPES | {"encoder points": (2, 252, 4, 4, 2)},
    "queries compared with tokens": SHAPES | {"decoder points": (2, 30, 252)},
    "a box for every class": SHAPES | {"pred_boxes": (2, 30, 6, 4)},
    "one class too few": SHAPES | {"pred_logits": (2, 30, 5)},
    "shapes as numbers": {name: math.prod(shape) for name, shape in SHAPES.items()},
}
MISTAKES = {"00-tokens": TOKEN_MISTAKES, "00-shapes": SHAPE_MISTAKES}
