"""Modules that stand in for parts of a model, so that a test sees what goes where."""

from torch import Tensor, nn


class Recorder(nn.Module):
    """Gives the same answer every time and keeps what it was given."""

    def __init__(self, answer: Tensor):
        super().__init__()
        self.answer, self.calls = answer, []

    def forward(self, *args):
        self.calls.append(args)
        return self.answer


class Times(nn.Module):
    """Multiplies by a number: in place of a norm or a dropout it shows where that was applied."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x
