"""Notebook 05, reference points: the encoder's, and the test that a pixel refers to itself."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from defdetr_ref.course.exercises.checking import call, expect_close
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.ops import ms_deform_attn
from defdetr_ref.positions import SpatialShapes, encoder_reference_points

# Two sets of levels, not square, of unequal counts; ratios differ between images, axes and levels.
CASES = (
    ([(4, 6), (2, 3)], torch.tensor([[[0.5, 0.75], [2 / 3, 1.0]], [[1.0, 0.5], [1.0, 0.5]]])),
    ([(3, 5)], torch.tensor([[[0.6, 1.0]], [[1.0, 1 / 3]], [[1.0, 1.0]]])),
    ([(6, 4), (5, 2), (1, 3)], torch.tensor([[[0.75, 0.5], [1.0, 0.6], [2 / 3, 1.0]]]).expand(2, -1, -1)),
)
CHANNELS = 3  # of the values read in the identity test


def examine_encoder_references(answer) -> None:
    for shapes, ratios in CASES:
        expected = encoder_reference_points(shapes, ratios)
        expect_close(call(answer, shapes, ratios), expected, f"the references for levels {shapes}")


def reads_itself(
    references: Float[Tensor, "batch token level 2"],
    shapes: SpatialShapes,
    value: Float[Tensor, "batch token channel"],
) -> Bool[Tensor, "batch token"]:
    """Read `value` at every token's reference on the token's own level, and compare with the token's own value."""
    sizes = torch.tensor([height * width for height, width in shapes])
    level_of_token = torch.arange(len(shapes)).repeat_interleave(sizes)
    own_level_only = torch.nn.functional.one_hot(level_of_token, len(shapes)).to(value.dtype)  # (S, L)
    weights = own_level_only[None, :, None, :, None].expand(len(value), -1, -1, -1, -1)  # one head, one point
    read = ms_deform_attn(value[:, :, None], shapes, references[:, :, None, :, None], weights)
    return torch.isclose(read, value, rtol=1e-3, atol=1e-3).all(-1)


def examine_identity_test(answer) -> None:
    for shapes, ratios in CASES:
        right = encoder_reference_points(shapes, ratios)
        value = torch.randn(*right.shape[:2], CHANNELS)
        everything = torch.ones(right.shape[:2], dtype=torch.bool)
        what = f"for levels {shapes} and right references the answer"
        expect_close(call(answer, right, shapes, value), everything, what)
        for what_is_wrong, wrong in spoilt_references(right, shapes):
            itself = reads_itself(wrong, shapes, value)
            what = f"for levels {shapes} and references where {what_is_wrong} the answer"
            expect_close(call(answer, wrong, shapes, value), itself, what)
        constant = value.clone()
        constant[..., 0] = 1.0  # one channel alone can not tell
        half_pixel_off = right + 0.5 / torch.tensor([shape[::-1] for shape in shapes])
        itself = reads_itself(half_pixel_off, shapes, constant)
        what = "with one channel that is 1 everywhere the answer"
        expect_close(call(answer, half_pixel_off, shapes, constant), itself, what)


def spoilt_references(right: Tensor, shapes: SpatialShapes):
    """(what is wrong, references): some wrong for some tokens only, one wrong where nobody reads."""
    tokens = torch.arange(right.shape[1])
    level_of_token = torch.arange(len(shapes)).repeat_interleave(torch.tensor([h * w for h, w in shapes]))
    own = torch.nn.functional.one_hot(level_of_token, len(shapes)).bool()[None, :, :, None]  # (1, S, L, 1)
    some = (tokens % 3 == 1)[None, :, None, None]
    yield "some are half a pixel off", torch.where(some, right + 0.5 / torch.tensor([s[::-1] for s in shapes]), right)
    yield "the last image is wrong", torch.cat([right[:-1], right[-1:].flip(-1)])
    yield "only the other levels are wrong", torch.where(own, right, right + 0.25)


ENCODER_REFERENCES = Exercise(
    "05-encoder-references",
    encoder_reference_points,
    examine_encoder_references,
    hint="Divide a pixel's centre by the *valid* size of its own level, then multiply by each level's ratio.",
)
IDENTITY_TEST = Exercise(
    "05-identity-test",
    reads_itself,
    examine_identity_test,
    hint="`ms_deform_attn` with one head and one point; the weight is 1 on the token's own level and 0 on the others.",
)
