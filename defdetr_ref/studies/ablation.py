"""What does each of the paper's ideas bring? One change at a time, everything else equal.

    run_study(Path("docs/studies/ablation"), Path("runs/studies"))

Every variant is trained with every seed on the images of the convergence study, at the rate that was found there for
the model that it changes. Each run becomes one JSON file, as there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from defdetr_ref.studies.analysis import by_seed, last_per_cent
from defdetr_ref.studies.convergence import run_all
from defdetr_ref.studies.plan import Settings, ablation_runs
from defdetr_ref.studies.variants import VARIANTS

SEEDS = (21, 22, 23)


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper that two variants can speak to.

    what: the change, from `before` to `after` (keys of VARIANTS).
    paper: what the paper found on COCO, with its source.
    direction: +1 if AP should rise, 0 if it should stay, -1 if it should fall, None where the paper says nothing.
    """

    what: str
    before: str
    after: str
    paper: str
    direction: int | None


CLAIMS = (
    Claim(
        "several levels instead of one", "deformable-16", "deformable", "Table 2: +1.7 AP for multi-scale inputs", +1
    ),
    Claim("the encoder reads all levels, not its own", "own-level", "deformable", "Table 2: +1.5 AP", +1),
    Claim("K = 2 instead of 1", "one-point", "two-points", "not given", None),
    Claim("K = 4 instead of 1", "one-point", "deformable", "Table 2: +0.9 AP", +1),
    Claim("an FPN below the encoder", "deformable", "fpn", "Table 2: no gain", 0),
    Claim("iterative box refinement", "deformable", "refined", "Table 1: +1.6 AP", +1),
    Claim("two stages on top of refinement", "refined", "two-stage", "Table 1: +0.8 AP", +1),
    Claim("focal loss instead of cross-entropy", "cross-entropy", "deformable", "A.4: used, not compared", None),
    Claim("boxes start from 0.1, not from σ(-2)", "refined", "paper-box", "A.4 says 0.1, the code -2", 0),
    Claim("the gradient through earlier boxes is blocked", "no-detach", "refined", "A.4: to stabilise training", +1),
    Claim("offsets start as a star", "no-star", "deformable", "A.4: used, not compared", None),
)


def variants() -> tuple[str, ...]:
    """All that the claims compare, each once, in VARIANTS' order."""
    named = {name for claim in CLAIMS for name in (claim.before, claim.after)}
    return tuple(name for name in VARIANTS if name in named)


def run_study(
    out: Path, work: Path, lr: float, settings: Settings | None = None, *, jobs: int = 1, seeds: tuple[int, ...] = SEEDS
) -> list[dict[str, Any]]:
    """Train every variant with every seed; returns all runs' contents.

    out: for the JSON files.
    work: for features and unfinished runs.
    lr: of all runs.
    settings: of the canvas.
    jobs: runs at a time.
    seeds: of each variant.

    Raises ValueError for fewer than one job, and if `out` holds other results.
    """
    settings = settings or Settings()
    return run_all(ablation_runs(settings, lr, variants(), seeds), settings, out, work, jobs)


def difference(results: Iterable[dict[str, Any]], claim: Claim, name: str = "AP") -> np.ndarray:
    """Per cent of `name` that `after` is above `before`, for each seed that both have, (seeds,)."""
    results = list(results)
    before, after = by_seed(results, claim.before), by_seed(results, claim.after)
    seeds = sorted(before.keys() & after.keys())
    return np.array([last_per_cent(after[seed], name) - last_per_cent(before[seed], name) for seed in seeds])


def verdict(claim: Claim, differences: np.ndarray) -> str:
    """ "agrees", "contradicts", "no difference", or "–" where the paper says nothing or nothing was measured.

    A difference counts as one if all seeds agree in its sign and its mean is larger than its spread (the standard
    deviation over seeds). With three seeds that happens by chance one time in eight for each sign, so a verdict is a
    hint; the table shows the seeds.
    """
    if claim.direction is None or len(differences) < 2:
        return "–"
    sign = int(np.sign(differences.mean())) if _is_clear(differences) else 0
    if sign == claim.direction:
        return "agrees"
    return "no difference" if sign == 0 else "contradicts"


def _is_clear(differences: np.ndarray) -> bool:
    same_sign = bool((differences > 0).all() or (differences < 0).all())
    return same_sign and bool(abs(differences.mean()) > differences.std(ddof=1))


def table(results: list[dict[str, Any]]) -> str:
    """A line for each claim: what it gains in AP and in AP of small objects, beside the paper."""
    lines = [f"{'change':<46}{'AP, mean ± spread':>20}{'small':>8}  {'verdict':<15}paper"]
    for claim in CLAIMS:
        found, small = difference(results, claim), difference(results, claim, "AP_small")
        if len(found) > 1:
            gain = f"{found.mean():+.1f} ± {found.std(ddof=1):.1f}"
            lines.append(f"{claim.what:<46}{gain:>20}{small.mean():>+8.1f}  {verdict(claim, found):<15}{claim.paper}")
    return "\n".join(lines)
