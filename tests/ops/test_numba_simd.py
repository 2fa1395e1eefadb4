"""Rows of channels in vector registers."""

import numpy as np
import pytest
import torch
from numba import njit

from defdetr_ref.ops import numba_simd
from defdetr_ref.ops.numba_simd import load, store


@pytest.mark.parametrize("width", [1, 2, 8, 64])
@pytest.mark.parametrize("dtype, instruction", [(torch.float16, True), (torch.float16, False), (torch.bfloat16, False)])
def test_every_number_of_two_bytes_is_widened_exactly(dtype, instruction, width, monkeypatch):
    """All 65,536: zeros of both signs, subnormal ones, infinities and NaN too."""
    if not instruction:  # else as this processor has it
        monkeypatch.setattr(numba_simd, "_has_float16_instruction", lambda: False)
    stored_as = str(dtype).removeprefix("torch.")

    @njit
    def widen(bits, numbers):
        for first in range(0, len(bits), width):
            store(numbers, first, load(bits, first, width, stored_as))

    bits, actual = np.arange(2**16, dtype=np.uint16), np.zeros(2**16, np.float32)
    widen(bits, actual)
    expected = torch.from_numpy(bits).view(dtype).float().numpy()
    not_a_number = np.isnan(expected)
    assert np.array_equal(np.isnan(actual), not_a_number)
    # as bits: -0.0 equals 0.0, and what kind of NaN it is does not matter
    assert np.array_equal(actual.view(np.uint32)[~not_a_number], expected.view(np.uint32)[~not_a_number])
