"""Which modules are changed, and which tests have to notice: those written for that module and nothing larger.

One entry for each module of `defdetr_ref`; the tests are arguments of pytest, relative to the root.
tests/test_parity.py and tests/test_hugging_face.py never count.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "defdetr_ref"

ROOMS = {
    "boxes": "tests/test_boxes.py",
    "positions": "tests/test_positions.py",
    "ops.loops": "tests/ops/test_loops.py -k 'not torch and not numba and not cuda'",
    "ops.torch_ref": "tests/ops/test_locations.py tests/ops/test_agreement.py -k torch",
    "ops.numba_kernels": "tests/ops/test_numba_kernels.py",
    "ops.numba_cpu": "tests/ops/test_numba_cpu.py",
    "ops.checks": "tests/ops/test_checks.py",
    "ops.dispatch": "tests/ops/test_dispatch.py tests/ops/test_checks.py",
    "attention": "tests/test_attention.py tests/test_initialisation.py",
    "proposals": "tests/test_proposals.py tests/test_initialisation.py",
    "decoder": "tests/test_decoder.py",
    "encoder": "tests/test_encoder.py",
    "matching": "tests/test_matching.py",
    "losses": "tests/test_losses.py",
    "inference": "tests/test_inference.py",
    "data.transforms": "tests/data/test_transforms.py",
}


def path_of(module: str) -> Path:
    """Relative to the root."""
    return Path(PACKAGE, *module.split(".")).with_suffix(".py")
