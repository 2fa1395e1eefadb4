"""FLOPs and bytes against counts made another way."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from defdetr_ref.studies.counting import (
    Cost,
    Workload,
    convolution_cost,
    dense_cost,
    equal_convolution,
    linear_cost,
    module_cost,
    operator_cost,
    total,
)

WORK = Workload(side=72, d_model=48, num_heads=6, num_points=3, strides=(8, 16, 32))
TOKENS = 9 * 9 + 5 * 5 + 3 * 3  # 72 is no multiple of 16


def test_levels_are_rounded_up():
    assert WORK.spatial_shapes == [(9, 9), (5, 5), (3, 3)] and WORK.tokens == TOKENS
    assert WORK.points == TOKENS * 6 * 3 * 3 and WORK.channels == 8


def test_the_operator_counted_number_by_number():
    cost = operator_cost(WORK)
    products = reads = 0
    for _ in range(WORK.points):
        for _ in range(4):  # corners
            products += WORK.channels
            reads += WORK.channels
    assert cost.flops == 2 * products
    assert cost.gathered == 4 * (reads + 3 * WORK.points + TOKENS * 48)
    assert cost.compulsory == 4 * (2 * TOKENS * 48 + 3 * WORK.points)


def test_the_paper_sized_workload():
    work = Workload(side=800)
    cost = operator_cost(work)
    points = (100**2 + 50**2 + 25**2 + 13**2) * 8 * 4 * 4
    assert cost.flops == 256 * points  # 4 corners, 32 channels, a product and a sum
    assert cost.intensity == pytest.approx(128 * 4 * 256 / (4 * 4 * (2 * 256 + 3 * 128)), rel=1e-9)


def counted_by_torch(call) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def test_linear_convolution_and_dense_attention_as_pytorch_counts_them():
    x = torch.randn(TOKENS, 48)
    assert linear_cost(TOKENS, 48, 20).flops == counted_by_torch(lambda: torch.nn.Linear(48, 20)(x))
    image = torch.randn(1, 10, 9, 7)
    convolution = torch.nn.Conv2d(10, 6, 3, padding=1)
    assert convolution_cost(63, 10, 6).flops == counted_by_torch(lambda: convolution(image))
    heads = torch.randn(1, 6, TOKENS, 8)
    by_hand = counted_by_torch(lambda: (heads @ heads.mT).softmax(-1) @ heads)
    assert dense_cost(WORK).flops == by_hand


def test_bytes_of_a_convolution():
    cost = convolution_cost(positions=63, inputs=10, outputs=6)
    weights = 9 * 10 * 6
    assert cost.compulsory == 4 * (63 * 16 + weights) and cost.gathered == 4 * (63 * (90 + 6) + weights)


def test_the_module_is_the_operator_and_four_linear_layers():
    samples = 6 * 3 * 3
    linear = sum(2 * TOKENS * 48 * outputs for outputs in (48, 48, 2 * samples, samples))
    assert module_cost(WORK).flops == operator_cost(WORK).flops + linear


def test_dense_attention_grows_with_the_square():
    small, large = Workload(128), Workload(256)
    assert large.tokens == 4 * small.tokens
    assert dense_cost(large).flops == 16 * dense_cost(small).flops
    assert operator_cost(large).flops == 4 * operator_cost(small).flops
    assert dense_cost(large).compulsory == 4 * dense_cost(small).compulsory


@pytest.mark.parametrize("cost", [operator_cost, module_cost])
@pytest.mark.parametrize("side", [64, 256, 800])
def test_the_convolution_costs_the_same_within_three_per_cent(cost, side):
    work = Workload(side)
    flops = cost(work).flops
    inputs, outputs = equal_convolution(flops, work.tokens)
    assert inputs % 8 == 0 and 0.5 < inputs / outputs < 2
    assert convolution_cost(work.tokens, inputs, outputs).flops == pytest.approx(flops, rel=0.03)


def test_costs_add_up():
    assert total(Cost(1, 2, 3), Cost(10, 20, 30)) == Cost(11, 22, 33)
