"""The files of a run."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

from torch import nn

from defdetr_ref.training.config import TrainConfig

MAY_CHANGE_ON_RESUME = ("epochs", "eval_every", "num_workers")  # everything else would make it another run


class RunFolder:
    """The files of a run; the only place that knows their names."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config, self.metrics = folder / "config.json", folder / "metrics.jsonl"
        self.last, self.best = folder / "last.pt", folder / "best.pt"

    def kept(self, epoch: int) -> Path:
        """Where the weights after `epoch` (from 1) stay, if they are to be kept."""
        return self.folder / f"epoch-{epoch}.pt"

    def check(self, config: TrainConfig, resume: bool) -> None:
        """Raises ValueError if a new run would overwrite an old one, or if a resumed one would become another run.

        A run that never finished an epoch left nothing to lose, so a new one may take its place.
        """
        if resume and not self.config.exists():
            raise FileNotFoundError(f"{self.folder}: there is no run to resume here; start one without resume")
        if not resume and (self.last.exists() or self.best.exists() or self.read_metrics()):
            raise ValueError(f"{self.folder} already holds a run; resume it or choose another folder")
        if not resume:
            return
        before = json.loads(self.config.read_text(encoding="utf-8"))["train"]
        for name, value in dataclasses.asdict(config).items():
            if name not in MAY_CHANGE_ON_RESUME and before.get(name) != value:
                raise ValueError(
                    f"{self.folder}: the run was started with {name}={before.get(name)!r} and cannot be resumed with "
                    f"{value!r}; use the first value or another folder"
                )

    def write_config(self, model: nn.Module, config: TrainConfig) -> None:
        """What the run was started with, as JSON."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"train": dataclasses.asdict(config), "model": dataclasses.asdict(model.config)}
        self.config.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """The epochs' records. A last line that a crash cut short is left out."""
        records = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines() if self.metrics.exists() else []:
            with contextlib.suppress(json.JSONDecodeError):
                records.append(json.loads(line))
        return records

    def keep_metrics(self, epochs: int) -> None:
        """Drop the records after the first `epochs` epochs: those epochs will be trained again."""
        lines = [json.dumps(record) + "\n" for record in self.read_metrics() if record["epoch"] <= epochs]
        rewritten = self.metrics.with_suffix(".rewritten")
        rewritten.write_text("".join(lines), encoding="utf-8", newline="\n")
        rewritten.replace(self.metrics)

    def add_metrics(self, record: dict[str, Any]) -> None:
        """Append one epoch's record."""
        with self.metrics.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record) + "\n")
