"""Notebook 07: mistakes that the checks must refuse."""

import torch
from torch.nn.functional import pad

from defdetr_ref.boxes import inverse_sigmoid, refine_boxes
from defdetr_ref.course.exercises.n07 import correct_in_turn
from tests.course.exercises import three_ways


def fill(reference, value=0.0):
    return pad(reference, (0, 4 - reference.shape[-1]), value=value)


def without_eps(reference, delta):
    return (delta + fill(torch.log(reference / (1 - reference)))).sigmoid()


def detached_in_turn(cut):
    """`cut` says what a correction gets: (reference, delta, block) → reference, delta."""

    def answer(reference, deltas, block):
        boxes = []
        for delta in deltas:
            before, step = cut(reference, delta, block)
            boxes.append(refine_boxes(before, step))
            reference = boxes[-1]
        return boxes

    return answer


def cut(tensor, block):
    return tensor.detach() if block else tensor


def boxes_detached(reference, deltas, block):
    boxes = correct_in_turn(reference, deltas, block)
    return [cut(box, block) for box in boxes]


def only_once(reference, deltas, block):
    first = refine_boxes(reference, deltas[0])
    return [first, *correct_in_turn(cut(first, block), deltas[1:], block=False)]


def same_reference(reference, deltas, block):
    return [refine_boxes(cut(reference, block), delta) for delta in deltas]


def within_no_grad(reference, deltas, block):
    with torch.set_grad_enabled(not block):
        return correct_in_turn(reference, deltas, block)


MISTAKES = {
    "07-refine": {
        "no inverse sigmoid": lambda reference, delta: (delta + fill(reference)).sigmoid(),
        "no sigmoid": lambda reference, delta: delta + fill(inverse_sigmoid(reference)),
        "added in the image": lambda reference, delta: fill(reference) + delta,
        "sigmoid of the correction alone": lambda reference, delta: (fill(reference) + delta.sigmoid()).clamp(0, 1),
        "a size of 0 for a point": lambda reference, delta: (delta + inverse_sigmoid(fill(reference))).sigmoid(),
        "a size of 0.1 for a point": lambda reference, delta: refine_boxes(fill(reference, 0.1), delta),
        "correction subtracted": lambda reference, delta: refine_boxes(reference, -delta),
        "infinite at 0 and 1": without_eps,
        "reference ignored": lambda reference, delta: delta.sigmoid(),
        "two numbers for a point": lambda reference, delta: refine_boxes(reference, delta)[..., : reference.shape[-1]],
    },
    "07-block": {
        "detach forgotten": lambda reference, deltas, block: correct_in_turn(reference, deltas, False),
        "always detached": lambda reference, deltas, block: correct_in_turn(reference, deltas, True),
        "the other way round": lambda reference, deltas, block: correct_in_turn(reference, deltas, not block),
        "the boxes themselves detached": boxes_detached,
        "the corrections detached": detached_in_turn(lambda box, delta, block: (box, cut(delta, block))),
        "all under no_grad": within_no_grad,
        "detached after the first layer only": only_once,
        "every correction starts from the first reference": same_reference,
        "the last box alone": lambda reference, deltas, block: correct_in_turn(reference, deltas, block)[-1],
    },
}


def test_the_sentences_name_box_and_correction():
    sentence = three_ways.refuses("07-block", MISTAKES["07-block"]["detach forgotten"])
    assert sentence.startswith("with block=True, the gradient of box 2 at correction 1: at [")
    assert sentence.endswith("(40 of 40 numbers differ)")
    sentence = three_ways.refuses("07-block", MISTAKES["07-block"]["the boxes themselves detached"])
    assert sentence == (
        "with block=True, the gradient of box 1 is missing: "
        "the box itself was detached, so its own correction learns nothing"
    )
