"""Which of the two kernels runs."""

import torch
from torch import Tensor

VECTOR_BYTES = 16  # what one thread loads at a time
MAX_LANES = 64  # threads that share a query
BFLOAT16_CAPABILITY = (8, 0)  # the first GPUs with an instruction that rounds to bfloat16
KERNELS = ("fast", "textbook")


def why_not_fast(value: Tensor) -> str | None:
    """Why the fast kernel cannot take `value` (N, S, M, D), in words; None if it can."""
    if value.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"the fast kernel takes float32, float16 or bfloat16 values, not {value.dtype}"
    together, channels = VECTOR_BYTES // value.element_size(), value.shape[-1]
    if channels % together:
        return f"the fast kernel loads {together} channels of {value.dtype} at a time, and {channels} is no multiple"
    if not 0 < channels <= together * MAX_LANES:
        return f"the fast kernel takes at most {together * MAX_LANES} channels of {value.dtype} a head, not {channels}"
    capability = torch.cuda.get_device_capability(value.device) if value.is_cuda else BFLOAT16_CAPABILITY
    if value.dtype == torch.bfloat16 and capability < BFLOAT16_CAPABILITY:
        return f"bfloat16 needs a GPU of compute capability 8.0, this one has {capability[0]}.{capability[1]}"
    return None


def choose_kernel(value: Tensor) -> str:
    """ "fast" where it applies, else "textbook"."""
    return "textbook" if why_not_fast(value) else "fast"
