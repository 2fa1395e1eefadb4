"""The query on its way: a picture of the proposal and of each layer, with what PyTorch says of them."""

import torch

from defdetr_ref import live
from defdetr_ref.boxes import box_iou, cxcywh_to_xyxy
from tests.live.laboratory.opened import SIZE, Opened
from tests.live.models import live_model

STEPS = "[data-part=steps] figcaption"
SEEN = "() => ({ query: window.laboratory.look.pinned?.query, truth: window.laboratory.look.truth })"
NAMES = {0: "class 0", 1: "circle", 2: "square", 3: "triangle", 4: "star", 5: "cross"}


def seen(laboratory):
    laboratory.rest()
    found = laboratory.page.wait_for_function(SEEN).json_value()
    return found["query"], torch.tensor([found["truth"]])


def overlap(box, truth):
    return box_iou(cxcywh_to_xyxy(box[None]), cxcywh_to_xyxy(truth)).item()


def layer_words(outputs, final_box, truth):
    """Of each layer, for the query whose last box this is."""
    query = int((outputs["pred_boxes"][0] - final_box).abs().sum(dim=-1).argmin())
    for number, layer in enumerate([*outputs["aux_outputs"], outputs], start=1):
        score, label = layer["pred_logits"][0, query].sigmoid().max(dim=-1)
        iou = overlap(layer["pred_boxes"][0, query], truth)
        yield f"Layer {number}\n{NAMES[int(label)]} {score:.2f}\nIoU {iou:.2f}"


def test_from_the_proposal_through_every_layer(laboratory, model):
    queries = set()
    for _ in range(4):  # each shape
        laboratory.part("view").press("Enter")
        query, truth = seen(laboratory)
        queries.add(query)
        outputs = laboratory.outputs(model)
        proposal, *layers = laboratory.texts(STEPS, 4)
        assert layers == list(layer_words(outputs, laboratory.answer("pred_boxes")[query], truth))

        token = int(laboratory.answer("queries.chosen")[query])
        score = outputs["enc_outputs"]["pred_logits"][0, token, 0].sigmoid()
        iou = overlap(outputs["enc_outputs"]["pred_boxes"][0, token], truth)
        level, start, width = next(one for one in ((2, 120, 3), (1, 96, 6), (0, 0, 12)) if token >= one[1])
        row, column = divmod(token - start, width)
        assert proposal == f"Proposal of level {level}, row {row}, column {column}\nobject {score:.2f}\nIoU {iou:.2f}"
    assert len(queries) > 1


def test_learned_queries_begin_at_their_reference(page, tmp_path):
    model = live_model(feature_strides=(8,), num_levels=2, num_classes=6, decoder_layers=2)
    laboratory = Opened(page, live.save_page(tmp_path / "page.html", model, image_size=SIZE, dtype="float32"))
    query, truth = seen(laboratory)
    reference, *layers = laboratory.texts(STEPS, 3)
    assert reference == "Reference, learned\nIoU 0.00"  # a point
    assert layers == list(layer_words(laboratory.outputs(model), laboratory.answer("pred_boxes")[query], truth))


def test_a_pixel_has_no_way(laboratory):
    laboratory.page.get_by_label("pins a pixel").check()
    laboratory.part("way").wait_for(state="hidden")
    laboratory.page.get_by_label("moves shapes").check()
    laboratory.page.get_by_label("pins an object").check()
    laboratory.part("way").wait_for(state="visible")
