"""The compiled kernels as one operator of PyTorch: opcheck, torch.compile, torch.export, autocast, double backward."""

import shutil

import pytest
import torch
from torch import nn

from defdetr_ref import MultiScaleDeformableAttention, ms_deform_attn
from defdetr_ref.ops import custom_op, numba_cpu
from tests.ops.cases import HERE, SHAPES, TWICE_DIFFERENTIABLE, assert_all_close, make_inputs, run

FLAT_SHAPES = [side for shape in SHAPES for side in shape]
OPERATOR = torch.ops.defdetr.ms_deform_attn.default


class Sampling(nn.Module):
    def forward(self, value, sampling_locations, attention_weights):
        return ms_deform_attn(value, SHAPES, sampling_locations, attention_weights)


def operators_in(graph: torch.fx.Graph) -> list:
    return [node.target for node in graph.nodes if node.op == "call_function"]


def recording_backend(graphs: list):
    """A compiler that keeps the graph it is given and runs it as it is."""

    def backend(module, example_inputs):
        graphs.append(module.graph)
        return module.forward

    return backend


@pytest.mark.parametrize("dtypes", [(torch.float64,) * 2, (torch.float32,) * 2, (torch.bfloat16, torch.float32)])
@pytest.mark.parametrize("queries", [0, 7])
def test_opcheck(dtypes, queries):
    """PyTorch's own checks: schema, no input changed, fake shapes, autograd registration, dynamic shapes."""
    value, *rest = make_inputs(queries=queries)
    value, locations, weights = value.to(dtypes[0]), *(tensor.to(dtypes[1]) for tensor in rest)
    grad_output = torch.ones(2, queries, 12, dtype=dtypes[0])
    torch.library.opcheck(custom_op.operator_backward, (grad_output, value, FLAT_SHAPES, locations, weights))
    leaves = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    torch.library.opcheck(custom_op.operator, (leaves[0], FLAT_SHAPES, *leaves[1:]))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("dynamic", [False, True])
def test_one_node_in_a_compiled_graph(dynamic):
    graphs = []
    module = torch.compile(Sampling(), backend=recording_backend(graphs), fullgraph=True, dynamic=dynamic)
    for batch, queries in ((5, 7), (9, 11)):  # unlike any other size: equal ones would share a symbol
        inputs = make_inputs(batch, queries, heads=6, points=8)
        torch.testing.assert_close(module(*inputs), Sampling()(*inputs))
    assert all(operators_in(graph) == [OPERATOR] for graph in graphs)
    assert len(graphs) == (1 if dynamic else 2)  # dynamic: not compiled again for other counts


@pytest.mark.usefixtures("unchecked")
def test_level_sizes_may_be_symbols_too():
    """Sizes taken from feature maps, as a detector does: one graph for all image sizes."""

    def sample(feature_map, sampling_locations, attention_weights):
        value = feature_map.flatten(2).transpose(1, 2).unflatten(-1, (3, 4))  # (N, S, M, D)
        return ms_deform_attn(value, [tuple(feature_map.shape[2:])], sampling_locations, attention_weights)

    graphs = []
    compiled_sample = torch.compile(sample, backend=recording_backend(graphs), fullgraph=True, dynamic=True)
    for height, width in ((5, 7), (10, 13), (14, 9)):
        feature_map = torch.randn(2, 12, height, width)
        _, locations, weights = make_inputs(queries=6, points=8, shapes=[(height, width)], dtype=torch.float32)
        inputs = (feature_map, locations, weights)
        torch.testing.assert_close(compiled_sample(*inputs), sample(*inputs))
    assert len(graphs) == 1 and OPERATOR in operators_in(graphs[0])


def compiled_gradients(backend: str) -> list[torch.Tensor]:
    leaves = [tensor.requires_grad_() for tensor in make_inputs(dtype=torch.float32)]
    output = torch.compile(Sampling(), backend=backend, fullgraph=True)(*leaves)
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).float()
    return [output.detach(), *torch.autograd.grad(output, leaves, cotangent)]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_forward_and_backward(backend):
    if backend == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler for torch.compile's inductor")
    assert_all_close(compiled_gradients(backend), run("numba", SHAPES, *make_inputs(dtype=torch.float32)), 1e-6, 1e-6)


@pytest.mark.usefixtures("unchecked")
def test_export_with_any_batch_and_number_of_queries():
    batch, queries = torch.export.Dim("batch"), torch.export.Dim("queries")
    sizes = ({0: batch}, {0: batch, 1: queries}, {0: batch, 1: queries})
    program = torch.export.export(Sampling(), make_inputs(), dynamic_shapes=sizes)
    assert operators_in(program.graph) == [OPERATOR]
    other = make_inputs(batch=3, queries=11)
    torch.testing.assert_close(program.module()(*other), Sampling()(*other))


@pytest.mark.usefixtures("unchecked")
def test_compiled_attention_module():
    """The whole of Eq. 3 without a graph break."""
    module = MultiScaleDeformableAttention(d_model=12, num_heads=3, num_levels=3, num_points=2)
    query, reference_points, features = torch.randn(2, 7, 12), torch.rand(2, 7, 3, 2), torch.randn(2, 29, 12)
    fast = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        fast(query, reference_points, features, SHAPES), module(query, reference_points, features, SHAPES)
    )


@pytest.fixture
def dtypes_seen(monkeypatch):
    """The dtypes that the CPU kernels are called with: [forward's value, backward's value, …]."""
    seen = []
    for name, place in (("forward", 0), ("backward", 1)):
        original = getattr(numba_cpu, name)

        def spy(*args, original=original, place=place):
            seen.append(args[place].dtype)
            return original(*args)

        monkeypatch.setattr(numba_cpu, name, spy)
    return seen


def test_autocast_runs_the_compiled_kernels(dtypes_seen):
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(d_model=12, num_heads=3, num_levels=3, num_points=2)
    query, reference_points, features = torch.randn(2, 7, 12), torch.rand(2, 7, 3, 2), torch.randn(2, 29, 12)
    gradients = {}
    for enabled in (False, True):
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output = module(query, reference_points, features, SHAPES)
        assert output.dtype == (torch.bfloat16 if enabled else torch.float32)
        output.float().square().sum().backward()
        gradients[enabled] = torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
    assert dtypes_seen == [torch.float32] * 2 + [torch.bfloat16] * 2  # as it is, not widened first
    error = (gradients[True] - gradients[False]).abs().max() / gradients[False].abs().max()
    assert error < 0.03  # bfloat16 keeps 8 bits, and several numbers are rounded one after the other


def grid_sample_has_a_second_derivative() -> bool:
    """PyTorch 2.6 and 2.8, for example, have none, and backend "torch" reads with grid_sample."""
    image, grid = torch.ones(1, 1, 3, 2, requires_grad=True), torch.zeros(1, 1, 1, 2, requires_grad=True)
    read = torch.nn.functional.grid_sample(image, grid, align_corners=False).sum()
    (gradient,) = torch.autograd.grad(read, [grid], create_graph=True)
    try:
        torch.autograd.grad(gradient.sum(), image)
    except RuntimeError as error:
        assert "is not implemented" in str(error)
        return False
    return True


def require_second_derivative(backend: str) -> None:
    if backend == "torch" and not grid_sample_has_a_second_derivative():
        pytest.skip("this version of PyTorch has no second derivative of grid_sample")


@pytest.mark.parametrize("backend", HERE)
def test_second_derivatives(backend):
    """Asking for a graph of the gradient is fine; asking that graph for a gradient is refused in our own words."""
    require_second_derivative(backend)
    leaves = [tensor.requires_grad_() for tensor in make_inputs(queries=2, points=1)]
    output = ms_deform_attn(leaves[0], SHAPES, *leaves[1:], backend=backend)
    plain = torch.autograd.grad(output.square().sum(), leaves, retain_graph=True)
    gradients = torch.autograd.grad(output.square().sum(), leaves, create_graph=True)
    assert all(torch.equal(one, other) for one, other in zip(plain, gradients, strict=True))
    for gradient in gradients:
        if backend in TWICE_DIFFERENTIABLE:
            second = torch.autograd.grad(gradient.sum(), leaves, retain_graph=True, allow_unused=True)
            assert any(number.abs().sum() > 0 for number in second if number is not None)
        else:
            with pytest.raises(NotImplementedError, match="this backend has no second derivative.* backend='torch'"):
                torch.autograd.grad(gradient.sum(), leaves, retain_graph=True, allow_unused=True)


def test_the_second_derivative_of_torch_is_right():
    require_second_derivative("torch")
    leaves = [tensor.requires_grad_() for tensor in make_inputs(1, 1, 2, 2, 1, [(2, 3)], spread=0.1)]
    function = lambda value, *rest: ms_deform_attn(value, [(2, 3)], *rest, backend="torch")  # noqa: E731
    assert torch.autograd.gradgradcheck(function, leaves)
