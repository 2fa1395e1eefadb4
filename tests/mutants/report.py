"""What a campaign found: a table of the modules, and every change that no test noticed."""

from collections.abc import Iterable

from tests.mutants.campaign import Result
from tests.mutants.equivalent import Equivalent
from tests.mutants.rooms import path_of

WANTED = 0.95


def counted(results: Iterable[Result], equivalents: Iterable[Equivalent]) -> list[Result]:
    """Without the survivors that cannot be noticed."""
    excused = {entry.key for entry in equivalents}
    return [r for r in results if r.outcome == "killed" or (r.module, r.old, r.new) not in excused]


def share_killed(results: list[Result]) -> float:
    return sum(result.outcome == "killed" for result in results) / max(len(results), 1)


def report(results: list[Result], equivalents: list[Equivalent]) -> str:
    """The results of one campaign, of all modules that it had."""
    kept = counted(results, equivalents)
    lines = [f"{'module':<20} {'killed':>6} {'of':>4} {'equivalent':>11}"]
    for module in dict.fromkeys(result.module for result in results):
        mine = [result for result in kept if result.module == module]
        killed, excused = sum(r.outcome == "killed" for r in mine), sum(r.module == module for r in results) - len(mine)
        lines.append(f"{module:<20} {killed:>6} {len(mine):>4} {excused or '':>11}")
    killed = sum(result.outcome == "killed" for result in kept)
    excused = len(results) - len(kept)
    lines.append(f"{'all':<20} {killed:>6} {len(kept):>4} {excused or '':>11}   {share_killed(kept):.1%}")
    for result in kept:
        if result.outcome != "killed":
            lines += ["", f"{path_of(result.module)}:{result.line}: {result.outcome}: {result.kind}"]
            lines += [f"    - {result.old}", f"    + {result.new}"]
    return "\n".join(lines)
