"""Run a Numba-CUDA kernel on Numba's simulator, and keep every read and write of every thread: address *and* value.

    seen = trace(kernel, blocks, threads, value, output, height, width)
    print(seen.table())
    seen.races()

| file          | what it holds                                                                             |
|---------------|-------------------------------------------------------------------------------------------|
| `accesses.py` | one access; arrays, shared memory and atomic operations that keep their accesses           |
| `places.py`   | where in a kernel a thread is, with the round of each loop: what a warp does in one step   |
| `launch.py`   | `trace`: a kernel's threads on the simulator                                               |
| `trace.py`    | what was seen: counts for each thread, 128-byte lines for each step of a warp, races       |
| `cases.py`    | small workloads, and the package's own kernels on them                                     |

No GPU is needed, and the simulator need not be switched on; but a kernel that was imported from `defdetr_cuda` has its
simulated form only if NUMBA_ENABLE_CUDASIM=1 was set before.
"""

from defdetr_cuda.trace.accesses import Access
from defdetr_cuda.trace.cases import Case, encoder_case, random_case, trace_package
from defdetr_cuda.trace.launch import trace
from defdetr_cuda.trace.trace import LINE_BYTES, WARP, Step, Trace

__all__ = [
    "LINE_BYTES",
    "WARP",
    "Access",
    "Case",
    "Step",
    "Trace",
    "encoder_case",
    "random_case",
    "trace",
    "trace_package",
]
