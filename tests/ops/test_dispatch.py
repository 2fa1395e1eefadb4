"""Which backend runs, what "auto" chooses, and what is said when one cannot run."""

from dataclasses import replace

import defdetr_cuda
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from defdetr_ref import ms_deform_attn
from defdetr_ref.ops import BACKENDS, custom_op, dispatch, explain_choice, numba_cpu
from tests.ops.cases import SHAPES, make_inputs

MISSING = "The package numba-cuda is not installed; run: pip install 'defdetr-ref[cuda]'."


def blank(dtype=torch.float32, locations=torch.float32, device="cpu", dim=4):
    """Zeros of the shapes of `make_inputs`."""
    value = torch.zeros(2, 29, 3, dim, dtype=dtype, device=device)
    return value, *(torch.zeros(2, 7, 3, 3, 2, *xy, dtype=locations, device=device) for xy in ((2,), ()))


def explanation(*args, **kwargs):
    value, *rest = blank(*args, **kwargs)
    return explain_choice(value, SHAPES, *rest)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(dispatch, "cuda_problem", lambda: MISSING)


@pytest.fixture
def a_gpu(monkeypatch):
    """A machine with a GPU, as far as the choice goes: FakeTensors can be "on" it anywhere."""
    monkeypatch.setattr(dispatch, "cuda_problem", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    with FakeTensorMode():
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_on_a_cpu_the_compiled_loops_run(dtype, monkeypatch):
    called = []
    original = numba_cpu.forward
    dtypes = lambda value, _, locations, weights: [one.dtype for one in (value, locations, weights)]  # noqa: E731
    monkeypatch.setattr(numba_cpu, "forward", lambda *args: called.append(dtypes(*args)) or original(*args))
    tensors = make_inputs(dtype=dtype)
    output = ms_deform_attn(tensors[0], SHAPES, *tensors[1:])
    summed = torch.float64 if dtype == torch.float64 else torch.float32
    assert output.dtype == dtype and called == [[dtype, summed, summed]]  # values of two bytes are read as they are
    monkeypatch.setattr(numba_cpu, "forward", original)
    assert torch.equal(output, ms_deform_attn(tensors[0], SHAPES, *tensors[1:], backend="numba"))


def test_the_words_on_a_cpu(no_gpu):
    assert explanation() == f"numba: loops compiled for the CPU. Not cuda: {MISSING}"
    assert explanation(torch.float16, torch.float16) == (
        "numba: loops compiled for the CPU. The torch.float16 values are summed in float32, the result is rounded. "
        f"Not cuda: {MISSING}"
    )


def test_the_words_on_a_cpu_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(dispatch, "cuda_problem", lambda: None)
    assert explanation().endswith("Not cuda: It takes tensors on an NVIDIA GPU, and these are on cpu.")


def test_the_words_on_a_gpu(a_gpu):
    assert explanation(device="cuda", dim=32) == "cuda: the fast kernel on the GPU."
    value = blank(device="cuda", dim=17)[0]
    assert explanation(device="cuda", dim=17) == (
        f"cuda: the textbook kernel on the GPU, because {defdetr_cuda.why_not_fast(value)}."
    )


def test_without_what_the_gpu_needs_torch_runs(no_gpu, monkeypatch):
    monkeypatch.setitem(BACKENDS, "torch", replace(BACKENDS["torch"], run=lambda *args: "torch ran"))
    with FakeTensorMode():
        words = explanation(device="cuda")
        assert words == (
            f"torch: grid_sample, which works on every device. Not cuda: {MISSING} "
            "Not numba: It takes tensors on the CPU, and these are on cuda:0."
        )
        tensors = blank(device="cuda")
        assert ms_deform_attn.__wrapped__(tensors[0], SHAPES, *tensors[1:]) == "torch ran"


@pytest.mark.parametrize("backend", ["auto", "loops", "torch", "numba"])
def test_level_sizes_may_come_as_a_tensor(backend):
    tensors = make_inputs()
    expected = ms_deform_attn(tensors[0], SHAPES, *tensors[1:], backend=backend)
    assert torch.equal(ms_deform_attn(tensors[0], torch.tensor(SHAPES), *tensors[1:], backend=backend), expected)
    assert explain_choice(tensors[0], torch.tensor(SHAPES), *tensors[1:]).startswith("numba: ")


def test_what_is_too_large_for_numba_goes_to_torch(no_gpu, monkeypatch):
    """It is the value that is too large, a single number seen 2³¹ times; the words and the choice agree."""
    monkeypatch.setitem(BACKENDS, "torch", replace(BACKENDS["torch"], run=lambda *args: "torch ran"))
    value, level = torch.zeros(()).expand(2, 2**31, 3, 4), [(2**15, 2**16)]
    locations = torch.zeros(2, 7, 3, 1, 2, 2)
    assert ms_deform_attn.__wrapped__(value, level, locations, locations[..., 0]) == "torch ran"
    words = explain_choice(value, level, locations, locations[..., 0])
    assert words.startswith("torch: ") and "Not numba: `value` has shape" in words


def test_any_other_device_gets_torch():
    tensors = [tensor.to("meta") for tensor in make_inputs()]
    assert ms_deform_attn(tensors[0], SHAPES, *tensors[1:]).device.type == "meta"
    assert explain_choice(tensors[0], SHAPES, *tensors[1:]).startswith("torch: ")


def test_bad_input_is_not_explained_but_refused():
    value, locations, weights = make_inputs()
    with pytest.raises(ValueError, match="`value` has shape"):
        explain_choice(value[:, 1:], SHAPES, locations, weights)


def test_cuda_where_it_cannot_run(monkeypatch):
    value, locations, weights = make_inputs()
    monkeypatch.setattr(dispatch, "cuda_problem", lambda: MISSING)
    with pytest.raises(ValueError, match=r"backend 'cuda' cannot be used. The package numba-cuda .* pip install"):
        ms_deform_attn(value, SHAPES, locations, weights, backend="cuda")
    monkeypatch.setattr(dispatch, "cuda_problem", lambda: None)
    with pytest.raises(ValueError, match="'cuda' cannot be used. It takes tensors on an NVIDIA GPU, .* are on cpu."):
        ms_deform_attn(value, SHAPES, locations, weights, backend="cuda")


def test_the_problem_is_the_one_that_the_cuda_package_tells():
    assert dispatch.cuda_problem() == defdetr_cuda.why_unavailable()


def test_numba_off_the_cpu():
    tensors = [tensor.to("meta") for tensor in make_inputs()]
    with pytest.raises(ValueError, match="'numba' cannot be used. It takes tensors on the CPU, and these are on meta."):
        ms_deform_attn(tensors[0], SHAPES, *tensors[1:], backend="numba")


def test_an_unknown_backend():
    value, locations, weights = make_inputs()
    with pytest.raises(ValueError, match=f"unknown backend 'triton'; choose from auto, {', '.join(BACKENDS)}$"):
        ms_deform_attn(value, SHAPES, locations, weights, backend="triton")


def test_every_backend_is_in_the_docstring():
    missing = [name for name in ("auto", *BACKENDS) if f'"{name}"' not in ms_deform_attn.__doc__]
    assert not missing, f"the docstring of ms_deform_attn says nothing of {missing}; add them at `backend:`"


def test_the_operator_knows_a_cuda_kernel(monkeypatch):
    """Both operators are registered for both devices; which kernel is called, `tests/gpu` sees on a GPU."""
    for name in ("defdetr::ms_deform_attn", "defdetr::ms_deform_attn_backward"):
        for device in ("CPU", "CUDA"):
            assert torch._C._dispatch_has_kernel_for_dispatch_key(name, device)
    seen = []
    monkeypatch.setattr(defdetr_cuda, "forward", lambda *args: seen.append(args[1]) or args[0].new_zeros(2, 7, 12))
    tensors = make_inputs()
    custom_op.cuda_forward(tensors[0], [5, 3, 2, 4, 1, 6], *tensors[1:])
    assert seen == [SHAPES]
