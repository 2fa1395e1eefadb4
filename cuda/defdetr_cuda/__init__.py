"""Multi-scale deformable attention on NVIDIA GPUs, in Python: kernels that Numba compiles when they are first called.

| file              | what it holds                                                                   |
|-------------------|---------------------------------------------------------------------------------|
| `textbook.py`     | one thread for one (query, head, channel): the mapping of the published code    |
| `fast.py`         | a block for a tile of queries: staged offsets, 128-bit loads, few atomics       |
| `memory.py`       | loads, stores and reductions that Numba does not write by itself                |
| `plans.py`        | kernel, grid and scalar arguments for given sizes                               |
| `launch.py`       | torch tensors in, torch tensors out: which kernel, on the current stream        |
| `limits.py`       | what the hardware sets                                                          |
| `simulator.py`    | NumPy arrays in and out, on Numba's simulator: no GPU needed                    |
| `availability.py` | what is missing on this machine, in words                                       |

Importing this package imports nothing of `numba.cuda`: it works on any machine.
"""

from defdetr_cuda.availability import why_unavailable
from defdetr_cuda.launch import backward, choose_kernel, forward, index_overflow, why_not_fast

__all__ = ["backward", "choose_kernel", "forward", "index_overflow", "why_not_fast", "why_unavailable"]
