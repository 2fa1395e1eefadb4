"""The operator: each backend agrees with the loops wherever points lie, and wrong shapes are told in one sentence."""

import random
from pathlib import Path

import torch
from torch import Tensor

from defdetr_ref import ms_deform_attn
from tests.ops.cases import HERE, assert_agrees_with_loops, make_inputs

ODD_SHAPES = [[], [(0, 3)], [(2, -1)], [(2.5, 3)], "ab", None, [(2, 3, 4)], torch.zeros(2, 2), [(10**9, 10**9)]]
ONE_BEFORE = -0.5  # in pixels, which begin at 0: the centre of a pixel before the first
FAR = [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 1e9]


class Target:
    """Nothing lies on disk."""

    def __init__(self, folder: Path) -> None:
        self.backends = [name for name in HERE if name != "loops"]

    def case(self, rng: random.Random) -> str:
        shapes = [(rng.randint(1, 6), rng.randint(1, 6)) for _ in range(rng.randint(1, 4))]
        counts = {"batch": rng.randint(1, 2), "queries": rng.randint(1, 5), "heads": rng.randint(1, 3)}
        counts |= {"dim": rng.choice((1, 2, 3, 4, 8, 16, 17)), "points": rng.randint(1, 3)}
        inputs = make_inputs(**counts, shapes=shapes, seed=rng.randrange(2**31), spread=rng.choice((0.1, 0.4, 2.0)))
        if rng.random() < 0.3:
            return self._spoilt(rng, shapes, list(inputs))
        value, locations, weights = inputs
        backend = rng.choice(self.backends)
        locations = moved(locations, shapes, rng, before_the_map=backend != "torch")
        assert_agrees_with_loops(backend, shapes, value, locations, weights)
        return f"{backend} agrees"

    def _spoilt(self, rng: random.Random, shapes: list, inputs: list) -> str:
        """One of the arguments is another one than it must be."""
        which = rng.randrange(4)
        if which == 3:
            shapes = rng.choice(ODD_SHAPES)
        else:
            inputs[which] = other_tensor(inputs[which], rng)
        try:
            output = ms_deform_attn(inputs[0], shapes, *inputs[1:], backend=rng.choice(HERE))
        except ValueError as error:
            assert "ms_deform_attn" in str(error) and "\n" not in str(error), str(error)[:200]
            return "refused"
        value, locations = inputs[:2]
        assert output.shape == (value.shape[0], locations.shape[1], value.shape[2] * value.shape[3])
        return "taken as it is"


def moved(locations: Tensor, shapes: list[tuple[int, int]], rng: random.Random, before_the_map: bool) -> Tensor:
    """Some points put where mistakes hide: on pixel centres, on the border, half a pixel outside, nowhere; also, with
    `before_the_map`, exactly one pixel before it, where `grid_sample` takes the slope of what begins there already.

    A pixel's centre is at (i + ½) / size. There a slope jumps, so coordinates are exact only where size is a power of
    two; elsewhere rounding would decide between two right answers.
    """
    locations = locations.clone()
    flat = locations.view(-1, len(shapes), locations.shape[4], 2)
    for point in range(flat.shape[0]):
        for level, sides in enumerate(shapes):
            for axis, size in enumerate(sides[::-1]):
                kind = rng.random()
                if kind < 0.1:
                    flat[point, level, 0, axis] = rng.choice(FAR)
                elif kind < 0.3 and size & (size - 1) == 0:
                    place = rng.randint(-1, size) + rng.choice((0.0, 0.5, 1.0))
                    if place != ONE_BEFORE or before_the_map:
                        flat[point, level, 0, axis] = place / size
    return locations


def other_tensor(tensor: Tensor, rng: random.Random) -> object:
    """Of another shape, dtype or kind."""
    axis = rng.randrange(tensor.dim())
    return rng.choice(
        [
            tensor.select(axis, 0),
            tensor.unsqueeze(axis),
            torch.cat([tensor, tensor], dim=axis),
            tensor.narrow(axis, 0, 0),
            tensor.transpose(axis, (axis + 1) % tensor.dim()),
            tensor.long(),
            tensor.float(),
            tensor.half(),
            tensor.to(torch.complex64),
            tensor.to("meta"),
            tensor.numpy(),
            None,
        ]
    )
