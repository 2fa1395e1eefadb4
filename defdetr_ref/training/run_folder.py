"""The files of a run."""

import contextlib
import json
from pathlib import Path
from typing import Any

from defdetr_ref.training.description import differences
from defdetr_ref.weight_files.writing import replacing


class RunFolder:
    """The files of a run; the only place that knows their names."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config, self.metrics = folder / "config.json", folder / "metrics.jsonl"
        self.last, self.best = folder / "last.pt", folder / "best.pt"

    def kept(self, epoch: int) -> Path:
        """Where the weights after `epoch` (from 1) stay, if they are to be kept."""
        return self.folder / f"epoch-{epoch}.pt"

    def check(self, described: dict[str, Any], resume: bool) -> None:
        """Raises ValueError if a new run would overwrite an old one, or if a resumed one would become another run.

        described: what the run is started with, see `description`. A run that saved nothing left nothing to lose, so
        a new one may take its place.
        """
        if resume and not self.config.exists():
            raise FileNotFoundError(f"{self.folder}: there is no run to resume here; start one without resume")
        if not resume and (self.last.exists() or self.best.exists() or self.read_metrics()):
            raise ValueError(f"{self.folder} already holds a run; resume it or choose another folder")
        if resume:
            self.require_same(described)

    def require_same(self, described: dict[str, Any]) -> None:
        """Raises ValueError, naming the field, if the run in this folder was started with something else."""
        for difference in differences(self.read_config(), json.loads(json.dumps(described))):  # lists for tuples
            raise ValueError(
                f"{self.folder}: the run was started {difference.summary()}; use the first value or another folder"
            )

    def read_config(self) -> dict[str, Any]:
        """What the run was started with. Raises ValueError if the file does not say it."""
        try:
            content = json.loads(self.config.read_text(encoding="utf-8"))
            if not all(isinstance(content[section], dict) for section in ("train", "model")):
                raise KeyError
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self.config} is damaged; put back a copy of it, or start in another folder") from None
        return content

    def write_config(self, described: dict[str, Any]) -> None:
        """What the run was started with, as JSON."""
        self._write(self.config, json.dumps(described, indent=2) + "\n")

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
        self._write(self.metrics, "".join(lines))

    def add_metrics(self, record: dict[str, Any]) -> None:
        """Append one epoch's record."""
        with self.metrics.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record) + "\n")

    def _write(self, path: Path, text: str) -> None:
        """Whole or not at all."""
        content = text.encode("utf-8")
        with replacing(path, len(content)) as file:
            file.write(content)
