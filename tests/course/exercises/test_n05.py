"""Mistakes that the checks of notebook 05 refuse; test_course.py tries them."""

import torch

from defdetr_ref.course.exercises.n05 import reads_itself
from defdetr_ref.ops import ms_deform_attn
from defdetr_ref.positions import encoder_reference_points, pixel_centres


def references_but(
    shapes, ratios, *, corner=0.0, swapped=False, flipped=False, valid=True, scaled=True, own_ratio=False, first=False
):
    places, used = [], ratios[:1] if first else ratios
    for level, (height, width) in enumerate(shapes):
        size = torch.tensor([height, width] if swapped else [width, height])
        own = used[:, None, level] if valid else torch.ones(len(used), 1, 2)
        place = (pixel_centres(height, width) - corner) / (own * size)  # (N, HW, 2)
        place = place.flip(-1) if flipped else place
        scale = used[:, None, level : level + 1].expand(-1, -1, len(shapes), -1) if own_ratio else used[:, None]
        places.append(place[:, :, None] * (scale if scaled else torch.ones(len(shapes), 1)))
    return torch.cat(places, 1).expand(len(ratios), -1, -1, -1)


def identity_test_but(
    references, shapes, value, *, level=None, weight_of=None, first=False, tolerance=1e-3, join="all"
):
    sizes = torch.tensor([height * width for height, width in shapes])
    own = torch.nn.functional.one_hot(torch.arange(len(shapes)).repeat_interleave(sizes), len(shapes)).float()
    if level is not None:
        own = torch.eye(len(shapes))[level].expand(len(own), -1)
    if weight_of is not None:
        own = torch.full_like(own, weight_of(len(shapes)))
    weights = own[None, :, None, :, None].expand(len(value), -1, -1, -1, -1)
    if first:
        references = references[:1].expand(len(value), -1, -1, -1)
    read = ms_deform_attn(value[:, :, None], shapes, references[:, :, None, :, None], weights)
    return getattr(torch.isclose(read, value, rtol=0, atol=tolerance), join)(-1)


MISTAKES = {
    "05-encoder-references": {
        "corner instead of centre": lambda shapes, ratios: references_but(shapes, ratios, corner=0.5),
        "H and W swapped": lambda shapes, ratios: references_but(shapes, ratios, swapped=True),
        "y before x": lambda shapes, ratios: references_but(shapes, ratios, flipped=True),
        "divided by the padded size": lambda shapes, ratios: references_but(shapes, ratios, valid=False),
        "not scaled to the padding": lambda shapes, ratios: references_but(shapes, ratios, scaled=False),
        "no valid ratios": lambda shapes, ratios: encoder_reference_points(shapes, torch.ones_like(ratios)),
        "every level with the token's own ratio": lambda shapes, ratios: references_but(shapes, ratios, own_ratio=True),
        "the first image's ratios for all": lambda shapes, ratios: references_but(shapes, ratios, first=True),
        "in pixels": lambda shapes, ratios: (
            encoder_reference_points(shapes, ratios) * torch.tensor([shape[::-1] for shape in shapes])
        ),
        "no axis for levels": lambda shapes, ratios: encoder_reference_points(shapes, ratios)[:, :, 0],
        "images and tokens swapped": lambda shapes, ratios: encoder_reference_points(shapes, ratios).transpose(0, 1),
    },
    "05-identity-test": {
        "cannot fail": lambda references, shapes, value: torch.ones(value.shape[:2], dtype=torch.bool),
        "always fails": lambda references, shapes, value: torch.zeros(value.shape[:2], dtype=torch.bool),
        "reads all levels, equally": lambda *args: identity_test_but(*args, weight_of=lambda levels: 1 / levels),
        "reads all levels in full": lambda *args: identity_test_but(*args, weight_of=lambda levels: 1.0),
        "reads level 0 for all tokens": lambda *args: identity_test_but(*args, level=0),
        "reads the last level for all tokens": lambda *args: identity_test_but(*args, level=-1),
        "one channel is enough": lambda *args: identity_test_but(*args, join="any"),
        "references of the first image for all": lambda *args: identity_test_but(*args, first=True),
        "far too tolerant": lambda *args: identity_test_but(*args, tolerance=10.0),
        "bitwise equal": lambda *args: identity_test_but(*args, tolerance=0.0),
        "one answer for all": lambda *args: reads_itself(*args).all(),
        "compares the references with each other": lambda references, shapes, value: torch.isclose(
            references, references[:, :, :1]
        ).all(-1).all(-1),
    },
}  # fmt: skip
