"""What does deformable attention cost, counted and measured, beside dense attention and beside a convolution?

    run_study(Path("docs/studies/cost.json"))

| part     | question                                                                          |
|----------|-----------------------------------------------------------------------------------|
| sizes    | FLOPs, bytes and seconds at growing image sizes: who grows how?                   |
| patterns | the same operator, the same FLOPs, other locations: what does disorder cost?      |
| rows     | rows of 128 bytes, read in order and at random, from small and large tables       |
| lines    | how many 128-byte lines does a warp's read touch?                                 |
| cache    | how many reads find their line in a simulated first-level cache?                  |
| roofline | what the machine could do: FLOP/s of a matrix product, byte/s of a copy           |

Everything runs in float32 on the CPU, on one thread by default, forward only.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from defdetr_ref.attention import MultiScaleDeformableAttention
from defdetr_ref.ops import ms_deform_attn
from defdetr_ref.positions import encoder_reference_points
from defdetr_ref.provenance import machine, versions
from defdetr_ref.studies.counting import (
    KERNEL,
    NUMBER_BYTES,
    Cost,
    Workload,
    convolution_cost,
    dense_cost,
    equal_convolution,
    module_cost,
    operator_cost,
)
from defdetr_ref.studies.gathers import (
    LINE_BYTES,
    PATTERNS,
    convolution_lines,
    hit_rate,
    operator_lines,
    sampling_pattern,
    warp_lines,
)
from defdetr_ref.studies.results import as_json, write_json
from defdetr_ref.studies.timing import interleaved, machine_limits, median, ratio, threads

CACHE_BYTES = 192 * 1024  # first-level cache of a current GPU's multiprocessor
TILE = 8  # queries a side
ROWS_READ = 2**19
ROWS_SUMMED = 16  # as a query of deformable attention sums L·K = 16 points
GIGA = 1e9


@dataclass(frozen=True)
class Settings:
    """What is counted and measured.

    sides: of the images, in pixels.
    dense_side: the largest for dense attention, which soon takes minutes.
    pattern_sides: for the patterns of locations.
    row_megabytes: sizes of the tables whose rows are read.
    cache_side: for the simulated cache.
    """

    sides: tuple[int, ...] = (128, 256, 384, 512, 768, 1024)
    dense_side: int = 512
    pattern_sides: tuple[int, ...] = (256, 512, 1024, 2048)
    row_megabytes: tuple[float, ...] = (0.25, 1, 4, 16, 64, 256)
    cache_side: int = 512
    rounds: int = 7
    num_threads: int = 1


def quick_settings() -> Settings:
    """Seconds only: the same questions at small sizes."""
    return Settings(
        sides=(64, 128, 256),
        dense_side=256,
        pattern_sides=(128, 256),
        row_megabytes=(0.25, 4.0),
        cache_side=64,
        rounds=3,
    )


def run_study(out: Path, settings: Settings = Settings()) -> dict[str, Any]:
    """Count, measure, and write everything to `out`; returns what the file holds."""
    load = os.getloadavg()[0]  # of others, before we start
    with threads(settings.num_threads):
        content = as_json({
            "settings": asdict(settings),
            "roofline": machine_limits(settings.rounds),
            "sizes": [measure_size(side, settings) for side in settings.sides],
            "patterns": [measure_patterns(side, settings) for side in settings.pattern_sides],
            "rows": [measure_rows(megabytes, settings) for megabytes in settings.row_megabytes],
            "lines": {name: round(lines, 2) for name, lines in warp_lines(Workload(settings.cache_side)).items()},
            "cache": {"bytes": CACHE_BYTES, "hit_rate": cache_hit_rates(Workload(settings.cache_side))},
            "load_before": round(load, 2),
            "finished": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "versions": versions(),
        })  # fmt: skip
    write_json(out, content)
    return content


# ------------------------------------------------------------------------------------------ counted and measured


def measure_size(side: int, settings: Settings) -> dict[str, Any]:
    """Costs and seconds at one image size, and how many times as long each takes as the convolution of equal FLOPs."""
    work = Workload(side)
    costs, cases = counted(work), runnable(work)
    if side > settings.dense_side:
        del cases["dense"]
    rounds = interleaved(cases, settings.rounds)
    return {
        "side": side,
        "tokens": work.tokens,
        "costs": {name: asdict(cost) for name, cost in costs.items()},
        "seconds": {name: median(values) for name, values in rounds.items()},
        "times_as_long": {
            "operator": ratio(rounds, "operator", "convolution like the operator"),
            "module": ratio(rounds, "module", "convolution like the module"),
        },
    }


def counted(work: Workload) -> dict[str, Cost]:
    """The cost of each case of `runnable`."""
    costs = {"operator": operator_cost(work), "module": module_cost(work), "dense": dense_cost(work)}
    for name in ("operator", "module"):
        channels = equal_convolution(costs[name].flops, work.tokens)
        costs[f"convolution like the {name}"] = convolution_cost(work.tokens, *channels)
    return costs


def runnable(work: Workload) -> dict[str, Callable[[], object]]:
    """The computations to time, with their inputs ready.

    The convolutions run over every level, so that they have as many positions as deformable attention has queries.
    """
    torch.manual_seed(0)
    cases: dict[str, Callable[[], object]] = {"operator": operator_case(work, sampling_pattern(work, "own"))}
    attention = MultiScaleDeformableAttention(work.d_model, work.num_heads, work.num_levels, work.num_points)
    tokens = torch.randn(1, work.tokens, work.d_model)
    reference = encoder_reference_points(work.spatial_shapes, torch.ones(1, work.num_levels, 2))
    cases["module"] = lambda: attention(tokens, reference, tokens, work.spatial_shapes)
    heads = tokens.unflatten(-1, (work.num_heads, -1)).transpose(1, 2)  # (1, M, S, D)
    cases["dense"] = lambda: F.scaled_dot_product_attention(heads, heads, heads)
    for name, cost in (("operator", operator_cost(work)), ("module", module_cost(work))):
        cases[f"convolution like the {name}"] = convolution_case(work, *equal_convolution(cost.flops, work.tokens))
    return cases


def operator_case(work: Workload, locations: Tensor) -> Callable[[], Tensor]:
    """The sums of Eq. 3 at these locations."""
    value = torch.randn(1, work.tokens, work.num_heads, work.channels)
    weights = torch.randn(locations.shape[:-1]).flatten(3).softmax(-1).view(locations.shape[:-1])
    return lambda: ms_deform_attn(value, work.spatial_shapes, locations, weights)


def convolution_case(work: Workload, inputs: int, outputs: int) -> Callable[[], object]:
    """The same 3×3 convolution on every level."""
    maps = [
        torch.randn(1, inputs, height, width).contiguous(memory_format=torch.channels_last)
        for height, width in work.spatial_shapes
    ]
    weight = torch.randn(outputs, inputs, KERNEL, KERNEL).contiguous(memory_format=torch.channels_last)
    return lambda: [F.conv2d(one, weight, padding=KERNEL // 2) for one in maps]


# ------------------------------------------------------------------------------------------ the order of reads


def measure_patterns(side: int, settings: Settings) -> dict[str, Any]:
    """The same operator on other locations: same points, same FLOPs, so the difference is memory alone."""
    work = Workload(side)
    cases = {pattern: operator_case(work, sampling_pattern(work, pattern)) for pattern in PATTERNS}
    rounds = interleaved(cases, settings.rounds)
    return {
        "side": side,
        "value_bytes": 4 * work.tokens * work.d_model,
        "seconds": {pattern: median(values) for pattern, values in rounds.items()},
        "times_as_long": {pattern: ratio(rounds, pattern, "own") for pattern in PATTERNS},
    }


def measure_rows(megabytes: float | int, settings: Settings) -> dict[str, float]:
    """Gigabytes a second of rows of 128 bytes, summed 16 at a time, read in order and at random; the best round."""
    table = torch.rand(int(megabytes * 2**20) // LINE_BYTES, LINE_BYTES // NUMBER_BYTES)
    in_order = (torch.arange(ROWS_READ) % len(table)).view(-1, ROWS_SUMMED)
    at_random = torch.randint(len(table), in_order.shape, generator=torch.Generator().manual_seed(0))
    cases = {
        "in order": lambda: F.embedding_bag(in_order, table, mode="sum"),
        "at random": lambda: F.embedding_bag(at_random, table, mode="sum"),
    }
    rounds = interleaved(cases, settings.rounds)
    speed = {name: ROWS_READ * LINE_BYTES / GIGA / min(values) for name, values in rounds.items()}
    return {"megabytes": megabytes, **{name: float(f"{value:.3g}") for name, value in speed.items()}}


def cache_hit_rates(work: Workload, cache_bytes: int = CACHE_BYTES) -> dict[str, float]:
    """For the operator with each pattern, for `own` tile by tile, and for a 3×3 window over rows of the same size."""
    capacity = cache_bytes // LINE_BYTES
    found = {"convolution": hit_rate(convolution_lines(work, KERNEL), capacity)}
    own = sampling_pattern(work, "own")
    found["own, in tiles"] = hit_rate(operator_lines(own, work, TILE), capacity)
    for pattern in PATTERNS:
        found[pattern] = hit_rate(operator_lines(sampling_pattern(work, pattern), work), capacity)
    return {name: round(rate, 4) for name, rate in found.items()}


def table(content: dict[str, Any]) -> str:
    """Milliseconds at every size, and how many times as long as the convolution of equal FLOPs."""
    names = ("operator", "module", "dense")
    lines = [f"{'side':>6}{'tokens':>8}" + "".join(f"{name + ' ms':>13}" for name in names)
             + f"{'operator/conv':>15}{'module/conv':>13}"]  # fmt: skip
    for row in content["sizes"]:
        times = [f"{1000 * row['seconds'][name]:.1f}" if name in row["seconds"] else "–" for name in names]
        ratios = row["times_as_long"]
        lines.append(f"{row['side']:>6}{row['tokens']:>8}" + "".join(f"{time:>13}" for time in times)
                     + f"{ratios['operator']:>15.2f}{ratios['module']:>13.2f}")  # fmt: skip
    return "\n".join(lines)
