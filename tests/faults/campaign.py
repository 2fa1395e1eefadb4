"""Each kind of fault, and what must be true after it. A function returns a word for what happened, and raises
AssertionError where something is wrong."""

import os
import random
import signal
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from defdetr_ref import checkpoints
from tests.faults import moments, small_run
from tests.faults.moments import Moments, Outcome, in_child


class Campaign:
    """A finished run without faults, and how often what was done to others.

    folder: for runs; the one without faults is straight/.
    seed: decides every moment and every bit.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.paths = small_run.draw(folder)
        small_run.import_what_is_late()
        outcome = self.go(folder / "straight", Moments())
        assert outcome.error == "", outcome.message
        self.calls = outcome.calls
        self.expected = small_run.content(folder / "straight")
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []

    def go(self, run: Path, when: Moments) -> Outcome:
        """Train in `run`, or go on there, in a process of its own."""
        return in_child(lambda one: small_run.go(self.paths, run, one), when, self.folder / "log.txt").outcome()

    def moment(self, action: Callable[[], None]) -> Moments:
        """`action` at a random call of a run."""
        return Moments(self.rng.randint(1, self.calls), action)

    def repeat(self, kind: str, times: int) -> None:
        """Do the fault `kind` so many times, and count what happened."""
        for number in range(times):
            run = self.folder / f"{kind}-{number}"
            try:
                self.counts[f"{kind}: {getattr(self, kind)(run)}"] += 1
            except AssertionError as error:
                self.counts[f"{kind}: WRONG"] += 1
                self.problems.append(f"{kind} {number}: {error}")

    def finish(self, run: Path) -> None:
        """Go on with `run` to its end, which must be that of the run without faults."""
        outcome = self.go(run, Moments())
        assert outcome.error == "" and not outcome.signal, f"it does not go on: {outcome.error} {outcome.message}"
        assert small_run.same(small_run.content(run), self.expected), "it ends otherwise than without the fault"
        left = sorted(path.name for path in run.iterdir() if path.name.endswith((".partial", ".rewritten")))
        assert not left, f"it leaves {left}"

    def kills(self, run: Path) -> str:
        """Killed at two moments, gone on with each time."""
        lives = [self.go(run, self.moment(moments.kill)) for _ in range(2)]
        self.finish(run)
        return f"killed {sum(life.signal == signal.SIGKILL for life in lives)} times, ends the same"

    def interruptions(self, run: Path) -> str:
        """Ctrl-C at a random moment."""
        outcome = self.go(run, self.moment(moments.interrupt))
        assert outcome.error in ("TrainingInterrupted", "KeyboardInterrupt"), f"{outcome.error} {outcome.message}"
        if outcome.error == "TrainingInterrupted":
            assert "saved" in outcome.message and "\n" not in outcome.message, outcome.message
        self.finish(run)
        return f"{outcome.error}, ends the same"

    def full_disks(self, run: Path) -> str:
        """From a random moment on no file can be as large as the checkpoint has to be."""
        size = (self.folder / "straight" / "last.pt").stat().st_size
        limit = self.rng.randint(size // 50, size * 9 // 10)
        outcome = self.go(run, self.moment(lambda: moments.fill_disk(limit)))
        if outcome.error:
            assert outcome.error == "OSError" and "there is no room for" in outcome.message, outcome
            assert not list(run.glob("*.partial")), "the partial file stays"
        self.finish(run)
        return "told in one sentence, ends the same" if outcome.error else "nothing was left to write"

    def read_only_folders(self, run: Path) -> str:
        """From a random moment on nothing can be written into the folder of the run."""
        run.mkdir()
        run.chmod(0o777)
        outcome = self.go(run, self.moment(lambda: moments.write_protect(run)))
        run.chmod(0o777)
        if outcome.error:
            assert outcome.error == "PermissionError" and str(run) in outcome.message, outcome
        self.finish(run)
        return "told in one sentence, ends the same" if outcome.error else "nothing was left to write"

    def bit_flips(self, run: Path) -> str:
        """One bit of a checkpoint, .pt or .safetensors: refused, or it makes no difference at all."""
        source = self.folder / "straight" / self.rng.choice(["last.pt", "best.safetensors"])
        if not source.exists():
            checkpoints.save_safetensors(source, checkpoints.build_model(source.with_suffix(".pt")), epoch=1)
        data = bytearray(source.read_bytes())
        position = self.rng.randrange(len(data))
        bit = self.rng.randrange(8)
        data[position] ^= 1 << bit
        damaged = run.with_suffix(source.suffix)
        damaged.write_bytes(data)
        try:
            found = checkpoints.read(damaged)
            checkpoints.build_model(damaged)
        except checkpoints.CheckpointError as error:
            assert str(damaged) in str(error) and "\n" not in str(error), error
            return f"{source.suffix} refused"
        finally:
            damaged.unlink()
        assert small_run.same(found, checkpoints.read(source)), f"bit {bit} of byte {position} of {source.name}"
        return f"{source.suffix} equal all the same"

    def stopped_ranks(self, run: Path) -> str:
        """One of two processes stops at a random moment; the other one says which."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        stopped = self.rng.randrange(2)
        place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}

        def work(rank: int) -> Callable[[Moments], None]:
            def train(when: Moments) -> None:
                os.environ |= {**place, "RANK": str(rank)}
                small_run.go(self.paths, run, when, late=True)

            return train

        calls = self.rng.randint(1, self.calls // 4)
        children = [
            in_child(
                work(rank), Moments(calls, moments.stop) if rank == stopped else Moments(), run.with_suffix(f".{rank}")
            )
            for rank in range(2)
        ]
        outcome = children[1 - stopped].outcome()
        children[stopped].kill()
        assert outcome.error == "TimeoutError" and f"rank {stopped} has not answered" in outcome.message, outcome
        return "named by the other one"


KINDS = {  # and how often each is done
    "kills": 10,
    "interruptions": 6,
    "full_disks": 4,
    "read_only_folders": 4,
    "bit_flips": 200,
    "stopped_ranks": 2,
}
