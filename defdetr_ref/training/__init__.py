"""The training loop, for one process or many.

    defdetr train …                                          one process
    torchrun --nproc-per-node 8 -m defdetr_ref.cli train …   eight, each with its share of every batch

Batch norm sees the images of all processes, and each takes its share of the very batches that one would have made, so
that two processes train as one does, up to rounding.

PyTorch for Windows is built without libuv, which torchrun asks for; there, set USE_LIBUV=0 first.

A run lives in one folder:

| file          | holds                                                                                         |
|---------------|-----------------------------------------------------------------------------------------------|
| config.json   | what the run was started with: options, model, and digests of the data                        |
| metrics.jsonl | a line for every epoch: mean of every loss term, gradient norm, learning rate, seconds, AP …  |
| last.pt       | weights, optimizer and how far training is: `resume=True` goes on from here                   |
| best.pt       | the weights of the epoch with the highest AP                                                  |
| epoch-N.pt    | the weights after epoch N, where they were to be kept                                         |
| tensorboard/  | the numbers of metrics.jsonl as curves, where tensorboard is installed                        |

last.pt is written after each epoch, every few minutes within one (`TrainConfig.save_every`), and when Ctrl-C is
pressed. Order of the images and augmentation are drawn from the seed and the epoch's number alone, and the learning
rate is a function of the step; what depends on all that was drawn before, dropout, has its generator's state in the
file. So on a CPU a resumed run equals an uninterrupted one bit for bit, with the same number of processes.
"""

from defdetr_ref.training.batches import FirstImages
from defdetr_ref.training.config import TrainConfig
from defdetr_ref.training.interruption import TrainingInterrupted
from defdetr_ref.training.loop import notes_of, train
from defdetr_ref.training.optimisation import lr_factor, parameter_groups
from defdetr_ref.training.trainer import NonFiniteLoss

__all__ = [
    "FirstImages",
    "NonFiniteLoss",
    "TrainConfig",
    "TrainingInterrupted",
    "lr_factor",
    "notes_of",
    "parameter_groups",
    "train",
]
