"""Small runs, and how two of them are compared."""

import torch

from defdetr_ref import DeformableDETR, DeformableDETRConfig
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.training import TrainConfig, train

TRAIN_IMAGES, VAL_IMAGES, CLASSES = 7, 3, 6


SMALL = dict(
    num_classes=CLASSES,
    d_model=32,
    num_heads=4,
    num_points=2,
    encoder_layers=1,
    decoder_layers=2,
    d_ffn=40,
    num_queries=9,
    dropout=0.1,
)


CONFIG = TrainConfig(epochs=4, batch_size=3, lr=1e-3, backbone_lr_factor=1.0, seed=5, drop_epoch=3)  # 2 steps an epoch


def new_model(**overrides):
    torch.manual_seed(1)
    return DeformableDETR(DeformableDETRConfig.preset("tiny", **{**SMALL, **overrides}))


def run(folder, train_set, config=CONFIG, model=None, **options):
    """Train a new model; returns it with what train() returns."""
    model = model or new_model()
    return model, train(model, train_set, folder, config, progress=False, **options)


def timeless(records):
    return [{name: value for name, value in record.items() if "seconds" not in name} for record in records]


def assert_same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def order(loader, epoch):
    loader.sampler.set_epoch(epoch)
    return [[target["image_id"] for target in targets] for _, _, targets in loader]


class PowerCut(Exception):
    """What stops the run in the tests."""


class CutOff(CocoDetection):
    """A data set that fails in epoch `cut` (from 0), after `allowed` reads."""

    cut, allowed, reads = 2, 4, 0

    def __getitem__(self, index):
        if int(self._epoch) == self.cut:
            self.reads += 1
            if self.reads > self.allowed:
                raise PowerCut
        return super().__getitem__(index)
