"""One thing is changed, nothing else, and only inside the block."""

import pytest
import torch

from defdetr_ref import DetrBaseline
from defdetr_ref.explain import record
from defdetr_ref.questions.interventions import (
    inside,
    outside_cut,
    outside_given_back,
    outside_pulled_in,
    queries_alone,
    sampling_changed,
)
from tests.small_models import small_batch, small_config, small_model

SHAPE = (2, 5, 3, 2, 4)  # image, query, head, level, point


def points():
    generator = torch.Generator().manual_seed(0)
    locations = 1.6 * torch.rand(*SHAPE, 2, generator=generator) - 0.3
    locations[1, 2, 0] = 1.5  # a head with nothing inside
    locations[0, 0, 0, 0, 0] = torch.tensor([0.0, 1.0])  # a corner, which belongs to the image
    weights = torch.rand(*SHAPE, generator=generator).flatten(3).softmax(-1).view(SHAPE)
    return locations, weights


def test_inside_and_its_edge():
    locations, _ = points()
    for place in [(0, 0, 0, 0, 0), (0, 1, 2, 1, 3), (1, 2, 0, 1, 2), (1, 4, 1, 0, 0)]:
        x, y = locations[place].tolist()
        assert inside(locations)[place].item() == (0 <= x <= 1 and 0 <= y <= 1)


def test_cut_weights_are_zero_outside_and_as_they_were_inside():
    locations, weights = points()
    same, cut = outside_cut(locations, weights)
    assert same is locations
    assert (cut[~inside(locations)] == 0).all() and torch.equal(cut[inside(locations)], weights[inside(locations)])


def test_weights_given_back_sum_to_one_in_their_old_proportions():
    locations, weights = points()
    _, given = outside_given_back(locations, weights)
    something = inside(locations).any(-1).any(-1)
    assert not something[1, 2, 0]
    torch.testing.assert_close(given.sum((-2, -1)), something.float())
    head = (0, 3, 1)
    kept = inside(locations)[head]
    torch.testing.assert_close(given[head][kept], weights[head][kept] / weights[head][kept].sum())


def test_points_pulled_in_lie_inside_with_their_weights():
    locations, weights = points()
    pulled, same = outside_pulled_in(locations, weights)
    assert inside(pulled).all() and same is weights
    assert torch.equal(pulled[inside(locations)], locations[inside(locations)])


def recorded(model, *arguments):
    with torch.no_grad(), record(model) as recording:
        outputs = model(*arguments)
    return recording[-1], outputs


def half(locations, weights):
    return locations / 2, weights / 2


@pytest.mark.parametrize(("part", "layer"), [("encoder", None), ("decoder", 0), ("decoder", -1)])
def test_only_the_layers_asked_for_are_changed_and_only_inside_the_block(part, layer):
    model, (images, mask) = small_model("two").eval(), small_batch()[:2]
    _, outputs = recorded(model, images, mask)
    with sampling_changed(model, part, half, layer=layer):
        changed, others = recorded(model, images, mask)
    _, again = recorded(model, images, mask)
    assert torch.equal(again["pred_boxes"], outputs["pred_boxes"])
    assert not torch.allclose(others["pred_logits"], outputs["pred_logits"], atol=1e-6)
    sums = [one.attention_weights.sum((-2, -1)).mean().item() for one in getattr(changed, part)]
    expected = [1.0] * len(sums)
    for number in range(len(sums)) if layer is None else [layer]:
        expected[number] = 0.5
    assert sums == pytest.approx(expected, abs=1e-4)


def test_a_layer_or_part_that_is_not_there_is_refused():
    model = small_model("two")
    for part, layer in (("neck", None), ("decoder", 7), ("decoder", -7)):
        with pytest.raises(ValueError, match=f"deformable layers in '{part}'; layer {layer} is not among them"):
            with sampling_changed(model, part, half, layer=layer):
                pass


@pytest.mark.parametrize("kind", ["two", "multi"])
def test_queries_alone_do_what_each_does_without_the_others(kind):
    model = small_model(kind).eval()
    attention = model.decoder.layers[0].self_attention
    content, position = torch.randn(2, 5, model.config.d_model), torch.randn(2, 5, model.config.d_model)
    query = content + position
    single = [attention(query[:, i : i + 1], query[:, i : i + 1], content[:, i : i + 1]) for i in range(5)]
    with queries_alone(model):
        together = attention(query, query, content)
    torch.testing.assert_close(together, torch.cat(single, dim=1), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(attention(query, query, content), together, atol=1e-4)


def test_a_model_without_queries_is_refused():
    with pytest.raises(ValueError, match="Linear has no self-attention among object queries"):
        with queries_alone(torch.nn.Linear(3, 2)):
            pass


def test_dense_attention_has_no_points_to_change():
    with pytest.raises(ValueError, match="0 deformable layers in 'encoder'"):
        with sampling_changed(DetrBaseline(small_config("multi")), "encoder", half):
            pass
