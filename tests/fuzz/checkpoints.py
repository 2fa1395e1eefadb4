"""Files of weights: the weights that were written, or refused in one sentence."""

import copy
import random
from pathlib import Path
from typing import Any

import torch

from defdetr_ref import checkpoints
from defdetr_ref.weight_files.writing import write_pickled
from tests.fuzz.campaign import assert_is_a_sentence
from tests.fuzz.mutations import ODD_VALUES, spoil_bytes
from tests.small_models import small_model

ODD_TENSORS = [torch.zeros(0), torch.zeros(3, 2), torch.full((7,), float("nan")), torch.zeros(2, dtype=torch.int64)]
LARGE = [10**7, 2**40]  # of a field that decides how much is allocated


class Target:
    """A model in each kind of file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = small_model("refine")
        for name in ("good.pt", "good.safetensors"):
            checkpoints.save_as(self.model, folder / name, categories={1: "cup"}, resize="none", epoch=3)
        torch.save(self.model.state_dict(), folder / "good.pth")
        self.good = {path.suffix: path.read_bytes() for path in folder.glob("good.*")}
        self.content = checkpoints.read(folder / "good.pt")

    def case(self, rng: random.Random) -> str:
        if rng.random() < 0.5:
            suffix = rng.choice(sorted(self.good))
            path = self.folder / f"spoilt{suffix}"
            path.write_bytes(spoil_bytes(self.good[suffix], rng, list(self.good.values())))
            return f"{self._read(path, as_written=True)}, bytes of {suffix}"
        path = self.folder / "spoilt.pt"
        write_pickled(path, self._spoilt_content(rng))
        return f"{self._read(path, as_written=False)}, content"

    def _spoilt_content(self, rng: random.Random) -> dict[str, Any]:
        """With other entries under right checksums, as another program might write them."""
        content = {key: dict(value) if isinstance(value, dict) else value for key, value in self.content.items()}
        for _ in range(rng.choice((1, 1, 2, 3))):
            holder = rng.choice([content, content.get("config"), content.get("model"), content.get("config")])
            if not isinstance(holder, dict) or not holder:
                continue
            key = rng.choice(sorted(holder, key=str))
            kind = rng.randrange(4)
            if kind == 0:
                del holder[key]
            elif kind == 1 and isinstance(holder[key], torch.Tensor):
                holder[key] = rng.choice(ODD_TENSORS)
            elif kind == 2:
                holder[rng.choice(("extra", 7, ("a", 1)))] = holder[key]
            else:
                holder[key] = copy.deepcopy(rng.choice([*ODD_VALUES, *LARGE]))
        return content

    def _read(self, path: Path, as_written: bool) -> str:
        try:
            model, _ = checkpoints.read_model(path)
        except (ValueError, FileNotFoundError) as error:
            assert_is_a_sentence(error, path)
            return "refused"
        weights = model.state_dict()
        assert all(torch.isfinite(one).all() for one in weights.values() if one.is_floating_point()), "not finite"
        if as_written:
            expected = self.model.state_dict()
            assert weights.keys() == expected.keys()
            assert all(torch.equal(weights[key], expected[key]) for key in weights), "other weights than were written"
        return "read"
