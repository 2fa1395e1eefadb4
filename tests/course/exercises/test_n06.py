"""Mistakes that the checks of notebook 06 refuse; test_course.py tries them."""

import torch
from torch.nn.functional import pad

from defdetr_ref.boxes import cxcywh_to_xyxy, inverse_sigmoid, refine_boxes
from defdetr_ref.course.exercises.n07 import correction


def decode_but(reference, head_output, *, start=inverse_sigmoid, finish=torch.sigmoid, size=None, flip=False):
    known = reference.flip(-1) if flip else reference
    known = start(known)
    if known.shape[-1] == 2:
        known = pad(known, (0, 2)) if size is None else torch.cat([known, size(reference)], -1)
    return finish(head_output + known)


def without_the_boxs_size(reference, head_output):
    return refine_boxes(reference[..., :2], head_output)


MISTAKES = {
    "06-inverse-sigmoid": {
        "no clamp": lambda x, eps=1e-5: torch.log(x / (1 - x)),
        "only x kept from zero": lambda x, eps=1e-5: torch.log(x.clamp(0, 1).clamp(min=eps) / (1 - x.clamp(0, 1))),
        "only 1 - x kept from zero": lambda x, eps=1e-5: torch.log(x.clamp(0, 1) / (1 - x.clamp(0, 1)).clamp(min=eps)),
        "beyond the image not brought back": lambda x, eps=1e-5: torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps)),
        "eps ignored": lambda x, eps=1e-5: inverse_sigmoid(x),
        "eps added": lambda x, eps=1e-5: torch.log((x.clamp(0, 1) + 0.01) / (1 - x.clamp(0, 1) + 0.01)),
        "detached": lambda x, eps=1e-5: inverse_sigmoid(x, eps).detach(),
        "made of plain numbers": lambda x, eps=1e-5: torch.tensor(inverse_sigmoid(x, eps).tolist(), dtype=x.dtype),
        "clamped in place": lambda x, eps=1e-5: inverse_sigmoid(x.clamp_(0, 1), eps),
        "upside down": lambda x, eps=1e-5: inverse_sigmoid(1 - x, eps),
        "base 10": lambda x, eps=1e-5: torch.log10(x.clamp(0, 1).clamp(min=eps) / (1 - x.clamp(0, 1)).clamp(min=eps)),
        "log x alone": lambda x, eps=1e-5: torch.log(x.clamp(eps, 1)),
        "the sigmoid itself": lambda x, eps=1e-5: torch.sigmoid(x),
        "1 / sigmoid": lambda x, eps=1e-5: 1 / torch.sigmoid(x),
    },
    "06-box-decoding": {
        "reference not turned into logits": lambda *args: decode_but(*args, start=lambda x: x),
        "added in the image": lambda reference, says: (
            says.sigmoid() + (pad(reference, (0, 2)) if reference.shape[-1] == 2 else reference)
        ),
        "no sigmoid at the end": lambda *args: decode_but(*args, finish=lambda x: x),
        "clamped instead of a sigmoid": lambda *args: decode_but(*args, finish=lambda x: x.clamp(0, 1)),
        "the reference ignored": lambda reference, says: says.sigmoid(),
        "a point's size is zero": lambda *args: decode_but(*args, size=lambda x: inverse_sigmoid(torch.zeros_like(x))),
        "a point's size is its place": lambda *args: decode_but(*args, size=inverse_sigmoid),
        "a point's size is 0.1": lambda *args: decode_but(
            *args, size=lambda x: inverse_sigmoid(torch.full_like(x, 0.1))
        ),
        "a box's size forgotten": without_the_boxs_size,
        "detached": lambda *args: refine_boxes(*args).detach(),
        "reference detached": lambda reference, says: refine_boxes(reference.detach(), says),
        "infinite for large numbers": lambda reference, says: (
            (raised := (2 * (says + pad(inverse_sigmoid(reference), (0, 4 - reference.shape[-1])))).exp()).sqrt()
            / (1 + raised.sqrt())
        ),
        "Δ as lesson 07 asks for it": correction,
        "reference flipped": lambda *args: decode_but(*args, flip=True),
        "no clamp": lambda *args: decode_but(*args, start=lambda x: torch.log(x / (1 - x))),
        "corners instead of centre and size": lambda *args: cxcywh_to_xyxy(refine_boxes(*args)),
        "centres only": lambda *args: refine_boxes(*args)[..., :2],
    },
}
