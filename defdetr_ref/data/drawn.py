"""Images that are drawn when they are asked for: training never sees one twice, and nothing lies on a disk.

dataset = DrawnDataset(partial(draw_shapes, ShapesConfig()), {1: "circle", …}, images=6000)
for epoch in range(20):
    dataset.set_epoch(epoch)          # 6000 others
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from defdetr_ref.data.canvas import DrawnImage
from defdetr_ref.data.coco import Transform, learnable_boxes
from defdetr_ref.data.transforms import PlainTransform, Target
from defdetr_ref.data.writing import SPLITS

FRESH_STREAM = len(SPLITS)  # random numbers that no image of a written set draws from, whatever its seed


class DrawnDataset(Dataset):
    """An endless set of drawn images, `images` of them in each epoch.

    dataset[i] is (image, target) as of `CocoDetection`; "image_id" is i + 1. Image i of an epoch is decided by seed,
    epoch and i alone: it is the same in any order, with any number of workers, and in a resumed run.

    draw: makes one image from one generator, as `draw_shapes` does with its config filled in.
    categories: category id → name.
    images: how many make an epoch.
    seed: another seed, other images. None of them is in a set that `write_shapes` or `write_digits` draws.
    transform: see `defdetr_ref.data.transforms`; None only normalises.

    Raises ValueError if `images` is below 1 or `seed` below 0.
    """

    def __init__(
        self,
        draw: Callable[[np.random.Generator], DrawnImage],
        categories: dict[int, str],
        *,
        images: int,
        seed: int = 0,
        transform: Transform | None = None,
    ) -> None:
        if images < 1 or seed < 0:
            raise ValueError(
                f"DrawnDataset: images is {images} and seed {seed}, but images >= 1 and seed >= 0 must hold"
            )
        self.draw, self.categories = draw, dict(categories)
        self.images, self.seed = images, seed
        self.transform = transform if transform is not None else PlainTransform()
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that are already running

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels, of all images."""
        return self[0][1]["size"]

    def set_epoch(self, epoch: int) -> None:
        """Choose the images of `epoch` (0, 1, …); call it before iterating over a loader."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} does not exist; the set has {len(self)}")
        index %= len(self)
        rng = np.random.default_rng([self.seed, FRESH_STREAM, int(self._epoch), index])
        drawn = self.draw(rng)
        size = drawn.pixels.shape[:2]
        boxes, labels = learnable_boxes(drawn.annotations, size)
        target = {
            "boxes": torch.from_numpy(boxes),
            "labels": torch.from_numpy(labels),
            "image_id": index + 1,
            "size": size,
        }
        return self.transform(Image.fromarray(drawn.pixels), target, rng)
