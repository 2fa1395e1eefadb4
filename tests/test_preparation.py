"""The note "resize" of files of weights: what it stands for, or refused."""

import pytest

from defdetr_ref.cli.common import eval_transform
from defdetr_ref.data.transforms import EvalTransform, PlainTransform
from defdetr_ref.preparation import sides_of


def test_what_it_stands_for():
    assert sides_of("none") is None and type(eval_transform("none")) is PlainTransform
    assert sides_of("paper") == (800, 1333) and sides_of([64, 96]) == (64, 96)
    transform = eval_transform([64, 96])
    assert type(transform) is EvalTransform and (transform.short_side, transform.max_side) == (64, 96)


@pytest.mark.parametrize(
    "garbage", ["", "Paper", None, 800, [800], [96, 64], [0, 5], [64.0, 96], [True, 3], {}, [1] * 3]
)
def test_what_is_none_is_refused(garbage):
    with pytest.raises(ValueError, match="the note 'resize' is .*; it must be 'none', 'paper', or a short"):
        sides_of(garbage)
