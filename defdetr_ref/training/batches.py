"""The batches of an epoch: which images, in which order, from which one on."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset

from defdetr_ref.data.coco import collate
from defdetr_ref.training.config import TrainConfig
from defdetr_ref.training.distributed import ProcessGroup
from defdetr_ref.training.interruption import ignore_interrupts


class FirstImages(Subset):
    """The first images of a `CocoDetection`, to see whether a model can learn at all; it is judged on them as well.

    Raises ValueError unless there are as many as `images`.
    """

    def __init__(self, dataset: Dataset, images: int) -> None:
        if not 1 <= images <= len(dataset):
            raise ValueError(f"overfit={images}: the training set has {len(dataset)} images; give 1 to {len(dataset)}")
        super().__init__(dataset, range(images))
        self.categories, self.transform = dataset.categories, dataset.transform
        self.folder, self.seed = dataset.folder, dataset.seed
        self.image_ids, self.image_size = dataset.image_ids[:images], dataset.image_size

    @property
    def coco(self) -> dict[str, Any]:
        """Of the whole set; `image_ids` says which images count."""
        return self.dataset.coco


class FromThere(DistributedSampler):
    """PyTorch's sampler from the image of number `first` on, of those that this process takes in an epoch."""

    first = 0

    def __iter__(self) -> Iterator[int]:
        return itertools.islice(super().__iter__(), self.first, None)


def train_loader(train_set: Dataset, config: TrainConfig, group: ProcessGroup) -> DataLoader:
    """Batches in an order that depends on seed and epoch only; the last short batch is dropped (published code).

    With several processes each takes its share of the very batches that one process would have made. Raises
    ValueError if the batch cannot be shared equally, or if the set is smaller than one batch.
    """
    if config.batch_size % group.world_size:
        raise ValueError(f"batch_size {config.batch_size} cannot be shared equally by {group.world_size} processes")
    if config.batch_size // group.world_size % config.accumulate:
        raise ValueError(
            f"batch_size {config.batch_size} cannot be shared equally by {group.world_size} processes in "
            f"accumulate={config.accumulate} parts each"
        )
    if len(train_set) < config.batch_size:
        raise ValueError(
            f"the training set has {len(train_set)} images, fewer than one batch of {config.batch_size}; "
            f"set the batch size to {len(train_set)} or less"
        )
    seed = mixed_seed(config.seed)
    sampler = FromThere(train_set, group.world_size, group.rank, shuffle=True, seed=seed, drop_last=True)
    return DataLoader(
        train_set,
        batch_size=config.batch_size // group.world_size,
        sampler=sampler,
        drop_last=True,
        collate_fn=collate,
        num_workers=config.num_workers,
        worker_init_fn=ignore_interrupts,
    )


def mixed_seed(*numbers: int) -> int:
    """A 32-bit seed from several numbers, so that seed 0 in epoch 1 is not seed 1 in epoch 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def set_epoch(dataset: Dataset, epoch: int) -> None:
    """Tell the data set, or the one inside a Subset, which epoch's random numbers to draw."""
    while not hasattr(dataset, "set_epoch") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(epoch)
