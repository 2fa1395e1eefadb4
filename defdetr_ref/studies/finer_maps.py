"""What does a finer map cost each model? One encoder layer, forward and backward, on maps of growing size, measured.

    run_study(Path("docs/studies/finer_maps.json"))

| case        | attention                                                                          |
|-------------|------------------------------------------------------------------------------------|
| dense       | every token to every token, as formulas say: an S × S matrix for each head         |
| dense-fused | the same by PyTorch's fused kernel, which never holds that matrix as a whole       |
| deformable  | K points of one level                                                              |

Each case has a process of its own, because only a process knows its peak of memory.
"""

import functools
import importlib
import multiprocessing
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.dense import DenseEncoderLayer
from defdetr_ref.encoder import EncoderLayer
from defdetr_ref.provenance import machine, versions
from defdetr_ref.pyramid import FeaturePyramid, PyramidTokens
from defdetr_ref.studies.results import as_json, write_json
from defdetr_ref.studies.timing import median

CASES = ("dense", "dense-fused", "deformable")
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Settings:
    """What is measured.

    sides: of the square maps, in tokens.
    d_model, num_heads, d_ffn: of the layer.
    rounds: timed repetitions, after one that is not.
    too_slow: seconds after which a case's next size is left out.
    memory: MiB that a process may have; more is "out of memory".
    """

    sides: tuple[int, ...] = (6, 12, 24, 48, 64, 96, 128, 192, 256)
    d_model: int = 64
    num_heads: int = 4
    d_ffn: int = 128
    rounds: int = 3
    too_slow: float = 30.0
    memory: int = 12_288


def quick_settings() -> Settings:
    """Seconds only."""
    return Settings(sides=(6, 12), rounds=1)


def run_study(out: Path, settings: Settings | None = None) -> dict[str, Any]:
    """Measure every case on every map and write `out`; returns its content.

    Each row has "case", "side", "tokens", and either CPU "seconds" of forward and backward together and "peak_mib",
    above what the process had before, or "out_of_memory". Raises ValueError on Windows, which does not tell a peak so.
    """
    settings = settings or Settings()
    _resource()
    rows = [row for case in CASES for row in _in_own_process(case, settings)]
    content = as_json({"settings": asdict(settings), "rows": rows, "machine": machine(), "versions": versions()})
    write_json(out, content)
    return content


def table(content: dict[str, Any]) -> str:
    """Milliseconds and MiB of every case, a line for each size of the map."""
    found = {(row["case"], row["side"]): row for row in content["rows"]}
    lines = [f"{'map':>9}{'tokens':>8}" + "".join(f"{f'{case}, ms':>17}{'MiB':>8}" for case in CASES)]
    for side in content["settings"]["sides"]:
        cells = [_cells(found.get((case, side))) for case in CASES]
        lines.append(f"{f'{side} × {side}':>9}{side**2:>8}" + "".join(cells))
    return "\n".join(lines)


def _cells(row: dict[str, Any] | None) -> str:
    if row is None:
        return f"{'–':>17}{'–':>8}"
    if row.get("out_of_memory"):
        return f"{'out of memory':>17}{'–':>8}"
    return f"{1000 * row['seconds']:>17,.1f}{row['peak_mib']:>8,.0f}"


def _in_own_process(case: str, settings: Settings) -> list[dict[str, Any]]:
    """A row for each map, from the smallest on, until one is too slow or does not fit."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_into, args=(sender, case, settings))
    process.start()
    sender.close()  # so that the pipe ends with the process
    rows: list[dict[str, Any]] = []
    for side in sorted(settings.sides):  # a peak never falls, so the larger map comes later
        try:
            found = receiver.recv()
        except EOFError:  # the system ended it
            found = {"out_of_memory": True}
        rows.append({"case": case, "side": side, "tokens": side**2, **found})
        if found.get("out_of_memory") or found["seconds"] > settings.too_slow:
            break
    process.terminate()
    process.join()
    return rows


def _measure_into(sender: Any, case: str, settings: Settings) -> None:
    torch.set_num_threads(1)
    resource = _resource()
    resource.setrlimit(resource.RLIMIT_DATA, (settings.memory * MEBIBYTE,) * 2)
    for side in sorted(settings.sides):
        try:
            sender.send(measure(case, side, settings))
        except (MemoryError, RuntimeError) as error:
            if "allocate memory" not in str(error) and not isinstance(error, MemoryError):
                raise
            sender.send({"out_of_memory": True})
            return


def measure(case: str, side: int, settings: Settings) -> dict[str, float]:
    """CPU seconds of a forward and backward pass on one thread, which a busy machine spoils little; and the process's
    peak of memory above what it had when it began to measure, in MiB."""
    before = _start_mib()
    layer, tokens = _layer(case, settings), _tokens(side, settings)
    seconds: list[float] = []
    for _ in range(settings.rounds + 1):  # the first allocates and compiles
        start = time.process_time()
        with sdpa_kernel(kernel_of(case)):
            _forward(layer, tokens).sum().backward()
        seconds.append(time.process_time() - start)
        if seconds[-1] > settings.too_slow:
            break
    return {"seconds": median(seconds[1:] or seconds), "peak_mib": round(peak_mib() - before, 1)}


def kernel_of(case: str) -> SDPBackend:
    """Which of PyTorch's dense attentions computes a case."""
    return SDPBackend.MATH if case == "dense" else SDPBackend.FLASH_ATTENTION


@functools.cache
def _start_mib() -> float:
    return peak_mib()


def peak_mib() -> float:
    """The most memory that this process has had."""
    resource = _resource()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MEBIBYTE if sys.platform == "darwin" else 1024)


def _resource() -> Any:
    if sys.platform == "win32":
        raise ValueError("study small-objects measures memory by the module resource, which Windows does not have")
    return importlib.import_module("resource")


def _layer(case: str, settings: Settings) -> nn.Module:
    torch.manual_seed(0)
    sizes = {"d_model": settings.d_model, "num_heads": settings.num_heads, "d_ffn": settings.d_ffn}
    if case == "deformable":
        return EncoderLayer(**sizes, num_levels=1, num_points=4, dropout=0.0)
    return DenseEncoderLayer(DeformableDETRConfig(**sizes, num_levels=1, feature_strides=(16,), dropout=0.0))


def _tokens(side: int, settings: Settings) -> PyramidTokens:
    torch.manual_seed(0)
    pyramid = FeaturePyramid([settings.d_model], settings.d_model, 1)
    with torch.no_grad():
        tokens = pyramid([torch.randn(1, settings.d_model, side, side)], torch.zeros(1, side, side, dtype=torch.bool))
    tokens.features.requires_grad_()
    return tokens


def _forward(layer: nn.Module, tokens: PyramidTokens) -> Tensor:
    if isinstance(layer, EncoderLayer):
        return layer(tokens.features, tokens, tokens.centres[:, :, None])
    return layer(tokens.features, tokens)
