"""Notebook 05, reference points: the encoder's, and the test that a pixel refers to itself."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from defdetr_ref.course.exercises.checking import expect_same
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.ops import ms_deform_attn
from defdetr_ref.positions import SpatialShapes, encoder_reference_points, pixel_centres

# Two sets of levels, not square, of unequal counts; ratios differ between images, axes and levels.
CASES = (
    ([(4, 6), (2, 3)], torch.tensor([[[0.5, 0.75], [2 / 3, 1.0]], [[1.0, 0.5], [1.0, 0.5]]])),
    ([(3, 5)], torch.tensor([[[0.6, 1.0]], [[1.0, 1 / 3]], [[1.0, 1.0]]])),
    ([(6, 4), (5, 2), (1, 3)], torch.tensor([[[0.75, 0.5], [1.0, 0.6], [2 / 3, 1.0]]]).expand(2, -1, -1)),
)
SMALL = ([(1, 2)], torch.tensor([[[0.5, 1.0]]]))
CHANNELS = 3  # of the values read in the identity test


def references_of_tokens(
    shapes: SpatialShapes, ratios: Float[Tensor, "batch level 2"]
) -> Float[Tensor, "batch token level 2"]:
    """Each pixel's centre as a share of the image, and that on every padded level."""
    places = []
    for level, (height, width) in enumerate(shapes):
        valid = ratios[:, None, level] * torch.tensor([width, height])  # (N, 1, 2)
        places.append(pixel_centres(height, width) / valid)
    scale = ratios[:, None]  # (N, 1, L, 2)
    return torch.cat(places, dim=1)[:, :, None] * scale


def examine_encoder_references(answer, right) -> None:
    for shapes, ratios in (SMALL, *CASES):
        expect_same(answer, right, (shapes, ratios), f"the references for levels {shapes}")


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


def examine_identity_test(answer, right) -> None:
    for shapes, ratios in (SMALL, *CASES):
        good = encoder_reference_points(shapes, ratios)
        value = torch.randn(*good.shape[:2], CHANNELS)
        what = f"for levels {shapes} and right references the answer"
        expect_same(answer, right, (good, shapes, value), what)
        for what_is_wrong, wrong in spoilt_references(good, shapes):
            what = f"for levels {shapes} and references where {what_is_wrong} the answer"
            expect_same(answer, right, (wrong, shapes, value), what)
        constant = value.clone()
        constant[..., 0] = 1.0  # one channel alone can not tell
        half_pixel_off = good + 0.5 / torch.tensor([shape[::-1] for shape in shapes])
        expect_same(
            answer, right, (half_pixel_off, shapes, constant), "with one channel that is 1 everywhere the answer"
        )


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
    references_of_tokens,
    examine_encoder_references,
    hint="Divide a pixel's centre by the *valid* size of its own level, then multiply by each level's ratio.",
    package=encoder_reference_points,
)
IDENTITY_TEST = Exercise(
    "05-identity-test",
    reads_itself,
    examine_identity_test,
    hint="`ms_deform_attn` with one head and one point; the weight is 1 on the token's own level and 0 on the others.",
)
