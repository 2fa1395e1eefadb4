"""Models of transformers compute the same with this package's operator, forward and backward, and as before without it.

They are built from small random configs; nothing is loaded by name.
"""

import copy
import gc
import sys

import pytest
import torch
from torch import nn

import defdetr_ref
from defdetr_ref.explain import record
from defdetr_ref.hugging_face import use_ms_deform_attn
from tests import hugging_face_models as models

transformers = pytest.importorskip("transformers")

MODELS = (
    "deformable_detr",
    "rt_detr",
    "rt_detr_v2",
    "d_fine",
    "deimv2",
    "grounding_dino",
    "mm_grounding_dino",
    "mask2former",
    "oneformer",
    "lw_detr",
    "rf_detr",
)
BATCH = 2
RELATIVE = 1e-4  # of the largest number of each tensor
ROUNDING = 1e-6  # of the largest number of all


def build(name: str, **overrides) -> tuple[nn.Module, dict]:
    torch.manual_seed(0)
    model, inputs = getattr(models, name)(transformers, **overrides)
    for parameter in model.parameters():  # initial offsets and weights are the same for every query
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    pixels = torch.randn(BATCH, 3, models.HEIGHT, models.WIDTH)
    return model.eval(), {"pixel_values": pixels, **{key: value.repeat(BATCH, 1) for key, value in inputs.items()}}


def outputs_and_gradients(model: nn.Module, inputs: dict) -> dict[str, torch.Tensor]:
    """Every tensor that the model returns, and the gradient of every parameter, of a sum with random factors."""
    model.zero_grad()
    outputs = model(**inputs)
    found = {key: value for key, value in outputs.items() if isinstance(value, torch.Tensor)}
    generator = torch.Generator().manual_seed(1)
    parts = [
        (value * torch.randn(value.shape, generator=generator)).sum()
        for key, value in found.items()
        if value.requires_grad and value.isfinite().all()
    ]
    torch.stack(parts).sum().backward()
    gradients = {key: one.grad for key, one in model.named_parameters() if one.grad is not None}
    return {key: value.detach() for key, value in found.items()} | gradients


def assert_close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Gradients that are zero but for rounding, such as those of the biases of keys, are compared with all others."""
    assert found.keys() == wanted.keys()
    scale = max(value[value.isfinite()].abs().max() for value in wanted.values() if value.isfinite().any())
    for key, value in wanted.items():
        finite = value.isfinite()
        assert torch.equal(found[key].isfinite(), finite), key
        if finite.any():
            error = (found[key][finite] - value[finite]).abs().max()
            assert error <= RELATIVE * value[finite].abs().max() + ROUNDING * scale, f"{key}: {error}"


def assert_identical(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key].nan_to_num(), value.nan_to_num()) for key, value in wanted.items())


@pytest.mark.parametrize("name", MODELS)
def test_the_same_outputs_and_gradients_and_identical_after_undo(name, monkeypatch):
    model, inputs = build(name)
    with record(model) as recording:
        wanted = outputs_and_gradients(model, inputs)
    calls = []
    operator = sys.modules["defdetr_ref.hugging_face.swapping"].ms_deform_attn
    monkeypatch.setattr(
        "defdetr_ref.hugging_face.swapping.ms_deform_attn",
        lambda *args, **kwargs: calls.append(kwargs) or operator(*args, **kwargs),
    )
    with use_ms_deform_attn(model) as swapped:
        found = outputs_and_gradients(model, inputs)
    assert sorted(swapped.names) == sorted(one.name for one in recording[-1].records)
    assert len(calls) == len(recording[-1].records) > 1  # each of them, once
    assert_close(found, wanted)
    assert_identical(outputs_and_gradients(model, inputs), wanted)
    assert len(calls) == len(recording[-1].records)


@pytest.mark.parametrize("name", ["deformable_detr", "mask2former", "d_fine"])  # one of each kind of operator
class TestSwapping:
    def test_a_plain_call_lasts_until_it_is_undone(self, name):
        model, inputs = build(name)
        state = [dict(vars(module)) for module in model.modules()], dict(vars(sys.modules[type(model).__module__]))
        wanted = outputs_and_gradients(model, inputs)
        swapped = use_ms_deform_attn(model, backend="torch")
        gc.collect()
        assert_close(outputs_and_gradients(model, inputs), wanted)
        assert changed(model, state)
        swapped.undo()
        swapped.undo()
        assert not changed(model, state)

    def test_nobody_has_to_keep_what_it_returns(self, name):
        model, _ = build(name)
        state = [dict(vars(module)) for module in model.modules()], dict(vars(sys.modules[type(model).__module__]))
        use_ms_deform_attn(model)
        gc.collect()
        assert changed(model, state)
        file, in_file = sys.modules[type(model).__module__], state[1]
        del model, state
        gc.collect()  # and with the model goes what was put into the file that all such models share
        assert all(vars(file)[key] is value for key, value in in_file.items())

    def test_an_error_inside_the_block_undoes_it_too(self, name):
        model, inputs = build(name)
        wanted = outputs_and_gradients(model, inputs)
        with pytest.raises(RuntimeError, match="halfway"), use_ms_deform_attn(model):
            raise RuntimeError("halfway")
        assert_identical(outputs_and_gradients(model, inputs), wanted)

    def test_two_models_are_undone_in_any_order(self, name, monkeypatch):
        (first, inputs), (second, _) = build(name), build(name)
        wanted = outputs_and_gradients(first, inputs)
        swaps = [use_ms_deform_attn(model) for model in (first, second)]
        swaps[0].undo()
        monkeypatch.setattr("defdetr_ref.hugging_face.swapping.ms_deform_attn", None)  # whoever calls it fails
        assert_identical(outputs_and_gradients(first, inputs), wanted)
        with pytest.raises(TypeError):
            second(**inputs)
        swaps[1].undo()
        assert_identical(outputs_and_gradients(second, inputs), wanted)

    def test_what_is_swapped_is_recorded_alike(self, name):
        model, inputs = build(name)
        with torch.no_grad(), record(model) as recording:
            model(**inputs)
            with use_ms_deform_attn(model):
                model(**inputs)
        with torch.no_grad(), use_ms_deform_attn(model), record(model) as later:
            model(**inputs)
        for one in (recording[1], later[0]):
            assert [record.name for record in one.records] == [record.name for record in recording[0].records]
            for found, wanted in zip(one.records, recording[0].records, strict=True):
                torch.testing.assert_close(found.sampling_locations, wanted.sampling_locations, rtol=1e-4, atol=1e-4)
                assert found.spatial_shapes == wanted.spatial_shapes


def changed(model: nn.Module, state: tuple[list[dict], dict]) -> bool:
    """Whether any attribute of a module, or any name in the model's file, is another than before."""
    modules = [dict(vars(module)) for module in model.modules()]
    return not (
        all(
            before.keys() == now.keys() and all(now[key] is before[key] for key in before)
            for before, now in zip(state[0], modules, strict=True)
        )
        and all(vars(sys.modules[type(model).__module__])[key] is value for key, value in state[1].items())
    )


def test_a_model_inside_another_is_found():
    model, inputs = build("deformable_detr")
    wrapped = nn.Sequential(nn.ModuleDict({"detector": model}))
    with use_ms_deform_attn(wrapped) as swapped:
        pass
    assert len(swapped.names) == 5 and all(name.startswith("0.detector.") for name in swapped.names)


def test_a_copy_has_its_own_operators_again():
    model, inputs = build("d_fine")
    wanted = outputs_and_gradients(model, inputs)
    with use_ms_deform_attn(model):
        clone = copy.deepcopy(model)
    assert_identical(outputs_and_gradients(clone, inputs), wanted)


def test_the_discrete_method_is_left_as_it_is():
    model, _ = build("rt_detr_v2", decoder_method="discrete")
    with pytest.raises(ValueError, match="RTDetrV2ForObjectDetection holds no .* that reads between pixels"):
        use_ms_deform_attn(model)


def test_what_cannot_be_swapped_is_refused_in_one_sentence():
    ours = defdetr_ref.MultiScaleDeformableAttention(32, 4, 2, 3)
    with pytest.raises(ValueError, match="MultiScaleDeformableAttention holds no .* of transformers"):
        use_ms_deform_attn(ours)
    model, _ = build("rt_detr")
    with pytest.raises(ValueError, match="unknown backend 'fast'; choose from auto"):
        use_ms_deform_attn(model, backend="fast")
