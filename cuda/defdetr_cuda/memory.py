"""What Numba does not write by itself: 128-bit loads, reductions in memory, vectors held in registers.

A vector is a tuple of float32 numbers: four of a float32 array, or eight of a 16-bit array, 128 bits either way. The
kernels import these names; under Numba's simulator they get the plain Python versions of `intrinsics_simulated.py`
instead, which is where each is documented.
"""

from numba.core import config

if config.ENABLE_CUDASIM:
    from defdetr_cuda.intrinsics_simulated import *  # noqa: F403
else:
    from defdetr_cuda.intrinsics import *  # noqa: F403
