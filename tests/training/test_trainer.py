"""The order of the data, and what happens when a number is none."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from defdetr_ref import checkpoints
from defdetr_ref.data.coco import collate
from defdetr_ref.training import FirstImages, NonFiniteLoss
from defdetr_ref.training.batches import train_loader
from defdetr_ref.training.distributed import ProcessGroup
from defdetr_ref.training.run_folder import RunFolder
from defdetr_ref.training.trainer import Trainer
from tests.training.runs import CONFIG, new_model, order, run


def test_order_depends_on_seed_and_epoch_only(sets):
    loader = train_loader(sets[0], CONFIG, ProcessGroup())
    torch.manual_seed(3)
    first = [order(loader, epoch) for epoch in range(3)]
    torch.manual_seed(4)
    assert [order(train_loader(sets[0], CONFIG, ProcessGroup()), epoch) for epoch in range(3)] == first
    assert first[0] != first[1] != first[2]
    assert order(train_loader(sets[0], replace(CONFIG, seed=6), ProcessGroup()), 0) not in first  # and no shifted copy
    assert all(len(set(sum(batches, []))) == 6 for batches in first)  # 2 batches of 3; the seventh image waits


def test_processes_share_the_batches_of_one(sets):
    config = replace(CONFIG, batch_size=4)
    alone = order(train_loader(sets[0], config, ProcessGroup()), 2)
    shares = [order(train_loader(sets[0], config, ProcessGroup(rank, 2)), 2) for rank in range(2)]
    assert [sorted(batch) for batch in alone] == [sorted(a + b) for a, b in zip(*shares, strict=True)]


def test_batches_that_cannot_be_made(sets):
    with pytest.raises(ValueError, match="batch_size 3 cannot be shared equally by 2 processes"):
        train_loader(sets[0], CONFIG, ProcessGroup(0, 2))
    with pytest.raises(ValueError, match="batch_size 4 .* by 2 processes in accumulate=4 parts each"):
        train_loader(sets[0], replace(CONFIG, batch_size=4, accumulate=4), ProcessGroup(0, 2))
    with pytest.raises(ValueError, match="7 images, fewer than one batch of 8"):
        train_loader(sets[0], replace(CONFIG, batch_size=8), ProcessGroup())


def test_augmentation_and_order_change_from_epoch_to_epoch(tmp_path, sets):
    seen = []

    class Watched(Dataset):  # a wrapper, as a Subset is
        dataset = sets[0]

        def __len__(self):
            return len(self.dataset)

        def __getitem__(self, index):
            seen.append((self.dataset._epoch.item(), index))
            return self.dataset[index]

    run(tmp_path / "run", Watched(), replace(CONFIG, epochs=3))
    epochs, order = zip(*seen, strict=True)
    assert epochs == (0,) * 6 + (1,) * 6 + (2,) * 6
    assert order[:6] != order[6:12] != order[12:]


def first_step(sets, **changes):
    """Figures and gradients of a step of 6 images with different numbers of objects."""
    model = new_model(dropout=0.0)
    config = replace(CONFIG, batch_size=6, clip_norm=0.0, **changes)
    trainer = Trainer(model, sets[0], RunFolder(Path("unused")), config, ProcessGroup())
    samples = [sets[0][index] for index in range(6)]
    samples[2] = (samples[2][0], {**samples[2][1], "boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()})
    samples[3] = (samples[3][0], {**samples[3][1], "boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()})
    for module in model.train().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # its statistics would be of a part of the images
    figures = trainer.train_step(0, *collate(samples))
    gradient = torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])
    return figures, gradient


@pytest.mark.parametrize("parts", [2, 3])  # the second of three is without any object
def test_a_step_in_parts_is_the_step(sets, parts):
    whole, gradient = first_step(sets)
    figures, in_parts = first_step(sets, accumulate=parts)
    assert figures == pytest.approx(whole, rel=1e-4)
    assert (in_parts - gradient).norm() < 1e-4 * gradient.norm()


def test_reduced_precision_is_near_and_keeps_weights_as_they_are(sets):
    whole, gradient = first_step(sets)
    figures, reduced = first_step(sets, precision="bf16")
    assert figures["total"] != whole["total"] and figures["total"] == pytest.approx(whole["total"], rel=0.02)
    assert reduced.dtype == torch.float32
    assert torch.cosine_similarity(reduced, gradient, dim=0) > 0.95


def test_the_first_images_are_a_set(sets):
    few = FirstImages(sets[0], 3)
    assert len(few) == 3 and few.image_ids == sets[0].image_ids[:3] and few.categories == sets[0].categories
    assert few.coco == sets[0].coco
    with pytest.raises(ValueError, match="overfit=8: the training set has 7 images; give 1 to 7"):
        FirstImages(sets[0], 8)


class BreakAt:
    """A forward hook that spoils one output of the model in one training step (from 1)."""

    def __init__(self, step):
        self.step, self.calls = step, 0

    def __call__(self, module, inputs, outputs):
        self.calls += module.training
        if module.training and self.calls == self.step:
            outputs["aux_outputs"][0]["pred_logits"] = outputs["aux_outputs"][0]["pred_logits"] * math.nan


def test_a_loss_that_is_no_number_stops_training(tmp_path, sets):
    model = new_model()
    model.register_forward_hook(BreakAt(step=4))
    with pytest.raises(NonFiniteLoss) as caught:
        run(tmp_path, sets[0], model=model)
    message = str(caught.value)
    assert "step 4 (epoch 2): loss_ce_0, total became NaN" in message and str(tmp_path / "last.pt") in message
    assert "\n" not in message
    last = checkpoints.read(tmp_path / "last.pt")
    assert last["epoch"] == 1 and all(value.isfinite().all() for value in last["model"].values())
    assert len((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_loss_that_is_no_number_in_the_first_epoch(tmp_path, sets):
    model = new_model()
    model.register_forward_hook(BreakAt(step=2))
    with pytest.raises(NonFiniteLoss, match="step 2 .*there is no checkpoint yet"):
        run(tmp_path, sets[0], model=model)
    assert not (tmp_path / "last.pt").exists()


def test_a_gradient_that_is_infinite_stops_training(tmp_path, sets):
    model = new_model()
    model.encoder.layers[0].attention.value_proj.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NonFiniteLoss, match="step 1 .*: gradient became NaN or infinite"):
        run(tmp_path, sets[0], model=model)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
