"""Which kernel takes which values, in words; bad requests are refused before a GPU is needed."""

import defdetr_cuda
import pytest
import torch


def value(channels, dtype=torch.float32):
    return torch.zeros(2, 6, 3, channels, dtype=dtype)


@pytest.mark.parametrize("dtype, channels", [
    (torch.float32, 4), (torch.float32, 36), (torch.float32, 256), (torch.float16, 8), (torch.bfloat16, 512),
])  # fmt: skip
def test_the_fast_kernel_where_it_applies(dtype, channels):
    assert defdetr_cuda.why_not_fast(value(channels, dtype)) is None
    assert defdetr_cuda.choose_kernel(value(channels, dtype)) == "fast"


@pytest.mark.parametrize("dtype, channels, reason", [
    (torch.float64, 32, "takes float32, float16 or bfloat16 values, not torch.float64"),
    (torch.float32, 17, "loads 4 channels of torch.float32 at a time, and 17 is no multiple"),
    (torch.float16, 12, "loads 8 channels of torch.float16 at a time, and 12 is no multiple"),
    (torch.float32, 260, "at most 256 channels of torch.float32 a head, not 260"),
])  # fmt: skip
def test_why_not_fast_and_the_textbook_instead(dtype, channels, reason):
    assert reason in defdetr_cuda.why_not_fast(value(channels, dtype))
    assert defdetr_cuda.choose_kernel(value(channels, dtype)) == "textbook"


def test_a_kernel_that_cannot_or_does_not_exist_is_refused():
    tensors = value(17), [(2, 3)], torch.zeros(2, 5, 3, 1, 2, 2), torch.zeros(2, 5, 3, 1, 2)
    with pytest.raises(ValueError, match="17 is no multiple"):
        defdetr_cuda.forward(*tensors, kernel="fast")
    with pytest.raises(ValueError, match="unknown kernel 'quick'; choose from fast, textbook"):
        defdetr_cuda.backward(torch.zeros(2, 5, 51), *tensors, kernel="quick")


def test_an_index_that_does_not_fit_is_refused():
    tokens, queries = 2**23 + 1, 3  # · 8 heads · 32 channels = 2³¹ + 256 numbers
    tensors = [torch.empty(shape, device="meta") for shape in
               [(1, tokens, 8, 32), (1, queries, 8, 1, 4, 2), (1, queries, 8, 1, 4)]]  # fmt: skip
    with pytest.raises(ValueError, match=r"`value` has S · M · D = 2147483904 numbers in one image"):
        defdetr_cuda.forward(tensors[0], [(1, tokens)], *tensors[1:])
