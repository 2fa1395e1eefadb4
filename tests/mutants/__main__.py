"""`make mutants`, or `python -m tests.mutants --help`. Exit status 1 if less than 95 % of the changes are noticed."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants import campaign, equivalent, report
from tests.mutants.campaign import Mutant, Result
from tests.mutants.rooms import ROOMS, ROOT, path_of
from tests.mutants.running import NOTHING_SAID, Copy, Run, import_what_is_large, run_all

FIRST_LIMIT = 600.0  # seconds, of the tests of one module on the tree as it is


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--count", type=int, default=14, help="changes of each module")
    parser.add_argument("--only", nargs="+", default=list(ROOMS), choices=ROOMS, metavar="MODULE", help="not all")
    parser.add_argument("--workers", type=int, default=2, help="how many run at once")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutants", help="folder of the results")
    parser.add_argument("--again", action="store_true", help="forget the results that are already there")
    parser.add_argument("--list", action="store_true", help="print the sample and run nothing")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    entries = equivalent.read_equivalents()
    for sentence in equivalent.outdated(entries):
        print(sentence)
    samples = {}
    for module in options.only:
        every = campaign.mutants_of(module, (ROOT / path_of(module)).read_text(encoding="utf-8"))
        samples[module] = campaign.sample(every, options.count, options.seed)
    if options.list:
        for mutant in (mutant for chosen in samples.values() for mutant in chosen):
            print(f"{path_of(mutant.module)}:{mutant.line}: {mutant.kind}\n    - {mutant.old}\n    + {mutant.new}")
        return 0
    path = options.out / f"seed-{options.seed}.jsonl"
    if options.again:
        path.unlink(missing_ok=True)
    states = {module: campaign.state_of(module) for module in samples}
    done = campaign.read_results(path)
    todo = [m for m in campaign.in_turns(samples.values()) if campaign.key_of(m, states[m.module]) not in done]
    if todo:
        print(f"{len(todo)} changes to run; results go to {path}", flush=True)
        run_mutants(todo, states, path, options.workers)
        done = campaign.read_results(path)
    results = [done[campaign.key_of(m, states[m.module])] for chosen in samples.values() for m in chosen]
    print(report.report(results, entries))
    return int(report.share_killed(report.counted(results, entries)) < report.WANTED)


def run_mutants(todo: list[Mutant], states: dict[str, str], path: Path, workers: int) -> None:
    """Run the tests of each module as it is, then those of every mutant; append the results to the file."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that copies and tests under way end, too
    import_what_is_large()
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        first = Copy.of_tree(Path(folder, "0"))
        seconds = run_unchanged(first, list(dict.fromkeys(mutant.module for mutant in todo)), workers)
        places = [first, *(first.again(Path(folder, str(number))) for number in range(1, workers))]
        texts = {module: (ROOT / path_of(module)).read_text(encoding="utf-8") for module in seconds}

        def start(mutant: Mutant, copy: Copy) -> Run:
            text, edit = texts[mutant.module], mutant.edit
            copy.change(mutant.module, text[: edit.start] + edit.text + text[edit.end :])
            limit = 30 + 4 * seconds[mutant.module]
            arguments = campaign.arguments_of(mutant.module)
            return Run.start(copy, arguments, limit, "log.txt", changed=True, anew="njit" in text)

        for number, (mutant, copy, run, status) in enumerate(run_all(todo, places, start), 1):
            copy.restore()
            outcome = "survived" if status == 0 else "error" if status in NOTHING_SAID else "killed"
            result = Result(
                mutant.module, mutant.line, mutant.kind, mutant.old, mutant.new,
                mutant.edit.start, mutant.edit.end, mutant.edit.text,
                outcome, run.noticed_by() if status >= 0 else f"status {status}", round(run.seconds, 1),
                states[mutant.module],
            )  # fmt: skip
            campaign.append_result(path, result)
            where = f"{path_of(mutant.module)}:{mutant.line}"
            print(f"{time.strftime('%H:%M:%S')} {number}/{len(todo)} {outcome} {run.seconds:.0f} s {where}", flush=True)


def run_unchanged(copy: Copy, modules: list[str], workers: int) -> dict[str, float]:
    """How long the tests of each module take, compiling what there is to compile; all must pass."""
    seconds = {}

    def start(module: str, place: Copy) -> Run:
        return Run.start(place, campaign.arguments_of(module), FIRST_LIMIT, f"{module}.txt", changed=False)

    for module, _, run, status in run_all(modules, [copy] * workers, start):
        if status:
            raise SystemExit(f"the tests of {module} fail without any change (status {status}):\n{run.tail()}")
        seconds[module] = run.seconds
        print(f"{module}: {run.seconds:.0f} s as it is", flush=True)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
