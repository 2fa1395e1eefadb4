"""The operator, several times over: each version is tested equal to the one before.

| backend | file                                 | what it is for                                        |
|---------|--------------------------------------|-------------------------------------------------------|
| loops   | `loops.py`, `loops_autograd.py`      | NumPy loops: the specification, slow and obvious      |
| torch   | `torch_ref.py`                       | `grid_sample`: short, differentiable, on every device |
| numba   | `numba_cpu.py`, `numba_kernels.py`   | the loops compiled for the CPU: fast                  |
| cuda    | the package `defdetr_cuda`, `cuda/`  | the loops compiled for NVIDIA GPUs: fast              |

`dispatch.py` picks one of them, `checks.py` refuses bad input with the same words for all, and `custom_op.py` makes the
last two one operator of PyTorch, for autograd, torch.compile and torch.export.
"""

from defdetr_ref.ops.dispatch import BACKENDS, Backend, explain_choice, ms_deform_attn, require_backend

__all__ = ["BACKENDS", "Backend", "explain_choice", "ms_deform_attn", "require_backend"]
