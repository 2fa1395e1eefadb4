"""Notebook 07: mistakes that the checks must refuse."""

import torch
from torch.nn.functional import pad

from defdetr_ref.boxes import inverse_sigmoid, refine_boxes
from defdetr_ref.course.exercises.n07 import correct_in_turn, correction
from tests.course.exercises import three_ways


def fill(reference, value=0.0):
    return pad(reference, (0, 4 - reference.shape[-1]), value=value)


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
    "07-correction": {
        "the box that 06 decodes": refine_boxes,
        "distance in the image": lambda reference, target: target - fill(reference),
        "sign turned round": lambda reference, target: -correction(reference, target),
        "target not turned into logits": lambda reference, target: target - fill(inverse_sigmoid(reference)),
        "reference not turned into logits": lambda reference, target: inverse_sigmoid(target) - fill(reference),
        "a size of 0 for a point": lambda reference, target: correction(fill(reference), target),
        "a size of 0.1 for a point": lambda reference, target: correction(fill(reference, 0.1), target),
        "infinite at 0 and 1": lambda reference, target: target.logit() - fill(reference.logit()),
        "reference ignored": lambda reference, target: inverse_sigmoid(target),
        "two numbers for a point": lambda reference, target: correction(reference, target)[..., : reference.shape[-1]],
        "detached": lambda reference, target: correction(reference, target).detach(),
        "reference detached": lambda reference, target: correction(reference.detach(), target),
        "target changed in place": lambda reference, target: correction(reference, target.clamp_(1e-5, 1 - 1e-5)),
        "result collected in the target": lambda reference, target: target.copy_(correction(reference, target)),
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


def test_the_correction_leads_to_the_target():
    for length in (2, 4):
        reference, target = torch.rand(3, 5, length), torch.rand(3, 5, 4)
        torch.testing.assert_close(refine_boxes(reference, correction(reference, target)), target)


def test_the_sentences_name_box_and_correction():
    sentence = three_ways.refuses("07-block", MISTAKES["07-block"]["detach forgotten"])
    assert sentence.startswith("with block=True, the gradient of box 2 at correction 1: yours is [")
    assert sentence.endswith("expected [[0, 0, 0, 0]]")
    sentence = three_ways.refuses("07-block", MISTAKES["07-block"]["the boxes themselves detached"])
    assert sentence == (
        "with block=True, the gradient of box 1 is missing: "
        "the box or its own correction was detached, so the correction learns nothing"
    )
