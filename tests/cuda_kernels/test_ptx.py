"""What the compiler makes of the CUDA kernels for a given GPU: checked without one."""

import re

import pytest

from tests.cuda_kernels.assembly import AMPERE, HOPPER, TOKENS, find_ptxas, plan, ptx, resources, why_no_ptx

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_no_ptx() is not None, reason=str(why_no_ptx())),
]
DTYPES = ["float32", "float16", "bfloat16"]
DIRECTIONS = ["forward", "backward"]
# An encoder's and a decoder's queries are found in different ways; the dtype matters to neither.
WORKLOADS = [("float32", TOKENS), ("float16", TOKENS), ("bfloat16", TOKENS), ("float32", 300)]
EACH = pytest.mark.parametrize("dtype, queries", WORKLOADS)
VECTOR_LOAD = {"float32": "ld.global.nc.v4.f32", "float16": "ld.global.nc.v4.u32", "bfloat16": "ld.global.nc.v4.u32"}
# A processor of the GPU has 65536 registers and room for 2048 threads: with these, at least 1024 threads fit.
MOST_REGISTERS = 64
MOST_SHARED = 48 * 1024  # bytes that a block gets without asking


def instructions(text: str) -> list[str]:
    """The opcodes, one for each instruction of the program text."""
    return re.findall(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.:]*)\s", text, flags=re.MULTILINE)


@EACH
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_fast_kernels_use_vectors_and_only_float32(direction, dtype, queries):
    opcodes = instructions(ptx(plan("fast", direction, dtype, queries)))
    assert opcodes.count(VECTOR_LOAD[dtype]) >= 4, "four corners"
    assert not [name for name in opcodes if ".f64" in name], "float64 crept in"
    assert not [name for name in opcodes if ".local" in name], "an array went to local memory"
    assert {"ld.shared.v4.f32", "ld.shared.v4.u32", "st.shared.v4.f32", "st.shared.v4.u32"} <= set(opcodes)
    # One weight a point, and in the backward pass once more, are all that is not loaded in vectors.
    assert opcodes.count("ld.global.f32") <= (1 if direction == "forward" else 2)


@EACH
def test_the_output_is_stored_in_vectors(dtype, queries):
    opcodes = instructions(ptx(plan("fast", "forward", dtype, queries)))
    assert [name for name in opcodes if name.startswith("st.global")] == [
        "st.global.v4.f32" if dtype == "float32" else "st.global.v4.b32"
    ]
    rounding = {"float32": 0, "float16": "cvt.rn.f16x2.f32", "bfloat16": "cvt.rn.bf16x2.f32"}[dtype]
    assert not rounding or opcodes.count(rounding) == 4


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_shared_arrays_are_aligned_for_vectors(direction):
    text = ptx(plan("fast", direction, "float32", TOKENS))
    alignments = sorted(int(number) for number in re.findall(r"\.shared \.align (\d+)", text))
    arrays = {"forward": 3, "backward": 4}[direction]  # level table, shares, offsets, gains; and one of single numbers
    assert len(alignments) == arrays + 1 and alignments[1:] == [16] * arrays


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("capability, expected, other", [
    (HOPPER, "red.global.add.v4.f32", "red.global.add.f32"),
    (AMPERE, "red.global.add.f32", "red.global.add.v4.f32"),
])  # fmt: skip
def test_only_the_gradient_of_value_is_added_atomically(dtype, capability, expected, other):
    text = ptx(plan("fast", "backward", dtype, TOKENS, capability), capability)
    opcodes = instructions(text)
    assert opcodes.count(expected) >= 4 and other not in opcodes
    assert not [name for name in opcodes if name.startswith("atom")], "a compare-and-swap loop, maybe in shared memory"
    # Gradients of locations (x, y) and of weights: plain stores, by the thread that sums them.
    assert [name for name in opcodes if name.startswith("st.global")] == ["st.global.f32"] * 3


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_textbook_kernel_loads_single_numbers(direction):
    opcodes = instructions(ptx(plan("textbook", direction, "float32", TOKENS)))
    assert not [name for name in opcodes if ".f64" in name or ".local" in name or ".v4" in name]
    assert opcodes.count("red.global.add.f32") == (7 if direction == "backward" else 0)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_textbook_kernel_in_float64_stays_in_float64(direction):
    opcodes = instructions(ptx(plan("textbook", direction, "float64", TOKENS)))
    assert not [name for name in opcodes if ".f32" in name]
    assert opcodes.count("red.global.add.f64") == (7 if direction == "backward" else 0)


KERNELS = [("fast", *workload) for workload in WORKLOADS]
KERNELS += [("textbook", dtype, TOKENS) for dtype in ("float32", "float64")]


@pytest.mark.skipif(find_ptxas() is None, reason="ptxas, NVIDIA's assembler, is not installed (nvidia-cuda-nvcc)")
@pytest.mark.parametrize("kernel, dtype, queries", KERNELS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_registers_suffice(direction, kernel, dtype, queries, tmp_path, record_property):
    launch = plan(kernel, direction, dtype, queries)
    used = resources(ptx(launch), tmp_path)
    print(f"{kernel} {direction} {dtype}, {queries} queries, {launch.threads} threads a block: {used}")
    for name, number in used.items():
        record_property(name, number)
    assert used["spilled"] == used["stack"] == 0
    assert 0 < used["registers"] <= MOST_REGISTERS and used["shared"] <= MOST_SHARED


@pytest.mark.skipif(find_ptxas() is None, reason="ptxas, NVIDIA's assembler, is not installed (nvidia-cuda-nvcc)")
@pytest.mark.parametrize("channels", [4, 60, 256])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_other_numbers_of_channels(direction, channels, tmp_path):
    """From one lane for a query to as many as a tile allows."""
    used = resources(ptx(plan("fast", direction, "float32", TOKENS, channels=channels)), tmp_path)
    assert used["spilled"] == used["stack"] == 0
    assert 0 < used["registers"] <= MOST_REGISTERS and 0 < used["shared"] <= MOST_SHARED
