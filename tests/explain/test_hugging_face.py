"""Hugging Face's models are recorded: what is recorded, put through this package's operator, gives their output.

Models are built from small random configs; nothing is loaded by name.
"""

import sys

import pytest
import torch
from torch import nn

from defdetr_ref import ms_deform_attn
from defdetr_ref.explain import record
from defdetr_ref.hugging_face.operators import by_level
from tests import hugging_face_models as models

transformers = pytest.importorskip("transformers")

FINE_FIRST, COARSE_FIRST = ((12, 20), (6, 10), (3, 5)), ((3, 5), (6, 10), (12, 20))
BATCH, TOKENS, QUERIES = 2, 12 * 20 + 6 * 10 + 3 * 5, 7
# what is recorded: (part, layers, queries) of each stack; points per head and level; levels
MODELS = {
    "deformable_detr": ([("encoder", 2, TOKENS), ("decoder", 3, QUERIES)], models.POINTS, FINE_FIRST),
    "rt_detr": ([("decoder", 2, QUERIES)], models.POINTS, FINE_FIRST),
    "rt_detr_v2": ([("decoder", 2, QUERIES)], models.POINTS, FINE_FIRST),
    "d_fine": ([("decoder", 2, QUERIES)], models.POINTS, FINE_FIRST),
    "grounding_dino": ([("encoder", 2, TOKENS), ("decoder", 2, QUERIES)], models.POINTS, FINE_FIRST),
    "mask2former": ([("encoder", 2, TOKENS)], 4, COARSE_FIRST),
    "oneformer": ([("encoder", 2, TOKENS)], 4, COARSE_FIRST),
}


def build(name: str) -> tuple[nn.Module, dict]:
    torch.manual_seed(0)
    model, inputs = getattr(models, name)(transformers)
    for parameter in model.parameters():  # initial offsets and weights are the same for every query
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    pixels = torch.randn(BATCH, 3, models.HEIGHT, models.WIDTH)
    return model.eval(), {"pixel_values": pixels, **{key: value.repeat(BATCH, 1) for key, value in inputs.items()}}


def hook_count(model: nn.Module) -> int:
    """transformers registers some of its own."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def values_and_outputs(model: nn.Module, names: list[str], seen: dict) -> None:
    """Hook what each attention reads from, and what it returns before its last projection."""
    for name in names:
        attention = model.get_submodule(name)
        if hasattr(attention, "value_proj"):
            attention.value_proj.register_forward_hook(
                lambda _, __, value, name=name: seen.update({(name, "v"): value})
            )
            attention.output_proj.register_forward_hook(
                lambda _, args, __, name=name: seen.update({(name, "o"): args[0]})
            )
        else:  # D-FINE projects neither
            attention.register_forward_hook(
                lambda _, args, kwargs, output, name=name: seen.update(
                    {(name, "v"): kwargs["encoder_hidden_states"], (name, "o"): output[0]}
                ),
                with_kwargs=True,
            )


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_the_recorded_points_give_the_output_of_the_attention(name):
    model, inputs = build(name)
    stacks, points, shapes = MODELS[name]
    with record(model) as recording:
        model(**inputs)
    seen = {}
    values_and_outputs(model, [one.name for one in recording[-1].records], seen)
    model(**inputs)

    found = [(one.part, one.layer, one.sampling_locations.shape[1]) for one in recording[-1].records]
    assert found == [(part, layer, queries) for part, layers, queries in stacks for layer in range(layers)]
    for one in recording[-1].records:
        samples = (BATCH, one.attention_weights.shape[1], models.HEADS, len(shapes), points)
        assert one.attention_weights.shape == samples and one.sampling_locations.shape == (*samples, 2)
        assert one.spatial_shapes == shapes and one.reference_points.shape[:3] == (*samples[:2], len(shapes))
        value = seen[one.name, "v"].unflatten(-1, (models.HEADS, -1))
        result = ms_deform_attn(value, shapes, one.sampling_locations, one.attention_weights, backend="torch")
        torch.testing.assert_close(result, seen[one.name, "o"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["rt_detr", "mask2former", "d_fine"])
@torch.no_grad()
def test_recording_changes_nothing_and_leaves_nothing_behind(name):
    model, inputs = build(name)
    file = vars(sys.modules[type(model).__module__])
    names = [key for key in file if key.startswith("multi_scale_deformable_attention")]
    functions, hooks = [file[key] for key in names], hook_count(model)
    with pytest.raises(RuntimeError, match="halfway"), record(model) as recording:
        watched = model(**inputs)
        raise RuntimeError("halfway")
    recorded = len(recording[-1].records)
    assert recorded > 0
    plain = model(**inputs)
    assert [file[key] for key in names] == functions and len(recording[-1].records) == recorded
    assert hook_count(model) == hooks
    assert all(torch.equal(plain[key], watched[key]) for key in plain if isinstance(plain[key], torch.Tensor))


@torch.no_grad()
def test_another_model_with_the_same_function_is_not_recorded():
    (model, inputs), (other, _) = build("mask2former"), build("mask2former")
    with record(model) as recording:
        other(**inputs)
        assert len(recording) == 0
        model(**inputs)
        other(**inputs)
    assert len(recording) == 1 and len(recording[-1].records) == 2


def test_levels_with_fewer_points_are_filled_up():
    row = torch.arange(6.0)[None]  # level 0 has points 0 1, level 1 has 2 3 4, level 2 has 5
    counts = [2, 3, 1]
    assert by_level(row, counts, dim=-1, padding=0.0).tolist() == [[[0, 1, 0], [2, 3, 4], [5, 0, 0]]]
    assert by_level(row, counts, dim=-1).tolist() == [[[0, 1, 1], [2, 3, 4], [5, 5, 5]]]


def test_a_model_of_transformers_without_deformable_attention_is_refused():
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    with (
        pytest.raises(ValueError, match="BertModel holds no deformable attention"),
        record(transformers.BertModel(config)),
    ):
        pass
