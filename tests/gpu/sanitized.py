"""Both kernels on small inputs that touch every border; run under compute-sanitizer by `test_launches.py`.

Torch's allocator is off, so that every array has its own allocation and a read beyond its end is noticed.
"""

import os
import sys
from pathlib import Path

os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.cuda_kernels.comparison import POINT, ROW, border_case, random_case  # noqa: E402
from tests.gpu.machine import on_gpu  # noqa: E402

CASES = [
    border_case(channels=8),
    random_case(2, None, 3, 16, 3, [(11, 9), (4, 6), ROW, POINT]),
    random_case(2, 19, 2, 8, 5, [(5, 4), ROW]),
]
for case in CASES:
    for kernel, dtype in [("textbook", "float64"), ("textbook", "float32"), ("fast", "float32"), ("fast", "float16"),
                          ("fast", "bfloat16")]:  # fmt: skip
        on_gpu(case, kernel, dtype)
print("both kernels ran")
