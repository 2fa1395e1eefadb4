"""The operator, several times over: each version is tested equal to the one before.

| backend | file           | what it is for                                        |
|---------|----------------|-------------------------------------------------------|
| loops   | `loops.py`     | NumPy loops: the specification, slow and obvious      |
| torch   | `torch_ref.py` | `grid_sample`: short, differentiable, on every device |
| numba   | `numba_cpu.py` | the loops compiled for the CPU: fast                  |
"""

from .registry import BACKENDS, ms_deform_attn

__all__ = ["BACKENDS", "ms_deform_attn"]
