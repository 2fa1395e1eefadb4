"""Can the kernels run here, and if not, what is missing?"""

import ctypes
import ctypes.util
import functools
import importlib.util
import os
import sys

INSTALL = "pip install 'defdetr-ref[cuda]'"


@functools.cache
def why_unavailable() -> str | None:
    """One sentence that says which of numba-cuda, driver and GPU is missing, and what to do; None if all are there."""
    checks = (_simulated, _no_numba_cuda, _no_cuda_in_torch, _no_driver, _no_gpu, _no_compiler)
    return next((reason for reason in (check() for check in checks) if reason), None)


def _simulated() -> str | None:
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0":
        return "NUMBA_ENABLE_CUDASIM is set, so that Numba simulates the GPU; unset it and start Python again."
    return None


def _no_numba_cuda() -> str | None:
    if importlib.util.find_spec("numba_cuda") is None:
        return f"The package numba-cuda is not installed; run: {INSTALL}"
    return None


def _no_cuda_in_torch() -> str | None:
    import torch

    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} was built without CUDA; install a build for CUDA from pytorch.org."
    return None


def _no_driver() -> str | None:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(name)
    except OSError:
        return f"The NVIDIA driver is not installed ({name} cannot be loaded); install it from nvidia.com/drivers."
    return None


def _no_gpu() -> str | None:
    import torch

    if not torch.cuda.is_available():
        return "PyTorch finds no NVIDIA GPU that it can use; `nvidia-smi` lists what the driver sees."
    return None


def _no_compiler() -> str | None:
    try:
        from numba import cuda

        usable = cuda.is_available()
    except Exception as error:  # a broken installation fails in many ways; all of them mean the same here
        return f"numba-cuda does not import ({type(error).__name__}: {error}); run: {INSTALL}"
    if not usable:
        return f"numba-cuda finds no CUDA compiler (NVVM); run: {INSTALL}"
    try:
        cuda.compile_ptx(_nothing, ())
    except Exception as error:  # such as a NumPy that is newer than numba-cuda knows: it is found out while compiling
        return f"numba-cuda cannot compile here ({type(error).__name__}: {error}); run: {INSTALL}"
    return None


def _nothing() -> None:
    """The least kernel."""
