"""Parts are cut out of the detector: boxes and AP are those of PyTorch with the same parts cut by hooks."""

from contextlib import contextmanager

import pytest
import torch

from defdetr_ref.evaluation import coco_metrics
from defdetr_ref.inference import postprocess
from tests.live.laboratory.opened import SIZE

HEAD, LEVEL = 2, 1
CASES = {
    "head 2 of decoder layer 2": ("decoder.layers.1.cross_attention", "head"),
    "level 1 of encoder layer 1": ("encoder.layers.0.attention", "level"),
    "encoder layer 2": ("encoder.layers.1", "layer"),
    "decoder layer 3": ("decoder.layers.2", "layer"),
}
SHAPES = {"circle": 1, "square": 2, "triangle": 3, "cross": 5}
TRUTHS = "() => window.laboratory.look.truths"


def edit_weights(how):
    """A hook of the operator, which takes value, shapes, locations and weights."""

    def hook(module, args, kwargs):
        value, shapes, locations, weights = args
        weights = weights.clone()
        if how == "head":
            weights[:, :, HEAD] = 0
        elif how == "level":
            weights[:, :, :, LEVEL] = 0
        else:
            weights[((locations < 0) | (locations > 1)).any(dim=-1)] = 0
            total = weights.sum(dim=(-1, -2), keepdim=True)
            weights = torch.where(total > 0, weights / total, weights)
        return (value, shapes, locations, weights), kwargs

    return hook


@contextmanager
def cut(model, name, how):
    """The model without a part: of all attention if `name` is empty."""
    if how == "layer":
        handles = [model.get_submodule(name).register_forward_hook(lambda module, args, output: args[0])]
    else:
        handles = [
            module.register_forward_pre_hook(edit_weights(how), with_kwargs=True)
            for path, module in model.named_modules()
            if type(module).__name__ == "DeformableSampling" and path.startswith(name)
        ]
    yield
    for handle in handles:
        handle.remove()


def average_precision(laboratory, outputs):
    """By pycocotools, in hundredths, of the scene as it is."""
    truths = laboratory.page.wait_for_function(TRUTHS).json_value()
    rows = []
    for truth in truths:
        x, y, w, h = truth["box"]
        bbox = [(x - w / 2) * SIZE[1], (y - h / 2) * SIZE[0], w * SIZE[1], h * SIZE[0]]
        rows.append({"image_id": 1, "category_id": truth["label"], "bbox": bbox})
    categories = [{"id": label, "name": name} for name, label in SHAPES.items()]
    images = [{"id": 1, "height": SIZE[0], "width": SIZE[1]}]
    (found,) = postprocess(outputs, [SIZE])
    results = [
        {"image_id": 1, "category_id": label, "bbox": [left, top, right - left, bottom - top], "score": score}
        for score, label, (left, top, right, bottom) in zip(
            *(found[key].tolist() for key in ("scores", "labels", "boxes")), strict=True
        )
    ]
    annotations = {"annotations": rows, "categories": categories, "images": images}
    return 100 * coco_metrics(annotations, results, [1])["AP"]


@pytest.mark.parametrize("label", CASES)
def test_what_is_cut_is_gone(laboratory, model, label):
    uncut = average_precision(laboratory, laboratory.outputs(model))
    laboratory.page.get_by_role("button", name=label, exact=True).click()
    laboratory.state("(state) => state.cuts.length === 1")
    with cut(model, *CASES[label]):
        laboratory.agrees(model)
        ap = average_precision(laboratory, laboratory.outputs(model))
    laboratory.says("caption", f"AP {ap:.1f}; without cuts {uncut:.1f}")
    laboratory.part("mend").click()
    laboratory.state("(state) => state.cuts.length === 0")
    laboratory.agrees(model)


def test_points_outside_are_cut_and_their_weight_goes_inside(laboratory, model):
    before = laboratory.answer("pred_boxes")
    laboratory.part("outside").check()
    laboratory.state("(state) => state.cuts[0] === 'outside'")
    with cut(model, "", "outside"):
        laboratory.agrees(model)
    assert (laboratory.answer("pred_boxes") - before).abs().max() > 1e-4
    laboratory.part("outside").uncheck()
    laboratory.state("(state) => state.cuts.length === 0")
    laboratory.agrees(model)


def test_the_uncut_model_is_laid_beside_it(laboratory):
    wanted = laboratory.answer("pred_boxes")
    laboratory.page.get_by_role("button", name="decoder layer 1", exact=True).click()
    laboratory.part("beside").select_option("uncut")
    laboratory.says("beside-caption", "The same model, uncut: AP ")
    laboratory.rest()
    found = laboratory.page.wait_for_function("() => Array.from(window.laboratory.look.beside.answer.pred_boxes)")
    torch.testing.assert_close(torch.tensor(found.json_value()).view_as(wanted), wanted, atol=0, rtol=0)


AP = """async ({ found, wanted }) => {
    const { averagePrecision } = await import("/web/laboratory/average_precision.js");
    return averagePrecision(found, wanted);
}"""


def test_average_precision_is_what_pycocotools_counts(live_page):
    rng = torch.Generator().manual_seed(3)

    def boxes(count):  # cxcywh in [0, 1]
        return (0.3 + 0.4 * torch.rand(count, 4, generator=rng, dtype=torch.float64)) * torch.tensor([1, 1, 0.8, 0.8])

    def pixels(box):
        x, y, w, h = box
        return [1000 * (x - w / 2), 1000 * (y - h / 2), 1000 * w, 1000 * h]

    for count in (1, 3, 8):
        truths = boxes(count)
        labels = torch.randint(1, 4, (count,), generator=rng)
        near = truths.repeat(9, 1) + 0.04 * torch.randn(9 * count, 4, generator=rng, dtype=torch.float64)
        guesses = torch.cat([near.clamp(0.05, 0.95), boxes(5)])
        kinds = torch.cat([labels.repeat(9), torch.randint(1, 4, (5,), generator=rng)])
        scores = torch.rand(len(guesses), generator=rng).sort(descending=True).values
        found = [
            {"label": kind, "score": score, "box": box}
            for kind, score, box in zip(kinds.tolist(), scores.tolist(), guesses.tolist(), strict=True)
        ]
        wanted = [{"label": kind, "box": box} for kind, box in zip(labels.tolist(), truths.tolist(), strict=True)]
        annotations = {
            "images": [{"id": 1, "height": 1000, "width": 1000}],
            "categories": [{"id": number, "name": str(number)} for number in (1, 2, 3)],
            "annotations": [{"image_id": 1, "category_id": one["label"], "bbox": pixels(one["box"])} for one in wanted],
        }
        results = [
            {"image_id": 1, "category_id": one["label"], "bbox": pixels(one["box"]), "score": one["score"]}
            for one in found
        ]
        right = coco_metrics(annotations, results, [1])["AP"]
        assert live_page.run(AP, {"found": found, "wanted": wanted}) == pytest.approx(right, abs=1e-9)
