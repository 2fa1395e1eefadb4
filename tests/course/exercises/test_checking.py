"""What a learner reads for each kind of bad answer."""

import dataclasses
import re
import sys
from functools import partial

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from defdetr_ref.course import exercises
from defdetr_ref.course.exercises import (
    WrongAnswer,
    call,
    calling,
    expect_close,
    expect_equal,
    expect_predictions,
    expect_same,
)


def says(sentence: str):
    return pytest.raises(WrongAnswer, match=f"^{re.escape(sentence)}$")


def test_a_close_answer_passes():
    expect_close(torch.ones(2, 3) + 1e-6, torch.ones(2, 3), "it")
    expect_close(np.float32(2.0), 2.0, "it")
    expect_close(torch.tensor(2.0), 2.0, "it")
    expect_close(2, 2.0, "it")
    expect_close(torch.ones(2, requires_grad=True), torch.ones(2), "it")
    expect_close((torch.ones(2), [1.0]), [torch.ones(2), (1,)], "it")
    expect_close(torch.tensor([torch.nan, torch.inf]), torch.tensor([torch.nan, torch.inf]), "it")


@pytest.mark.parametrize(
    ("yours", "expected", "sentence"),
    [
        ([1.0, 2.0], torch.ones(2), "it is a list, expected a Tensor of shape (2,)"),
        (np.ones(2), torch.ones(2), "it is a ndarray, expected a Tensor of shape (2,)"),
        ("one", 1.0, "it is a str, expected a number"),
        (torch.ones(2), 1.0, "it is a Tensor, expected a number"),
        (True, 1.0, "it is a bool, expected a number"),
        (1.0, (1.0, 2.0), "it is a float, expected a tuple of 2"),
        ((1.0,), (1.0, 2.0), "it: yours has 1 items, expected 2"),
        (torch.ones(3, 2), torch.ones(2, 3), "it has shape (3, 2), expected (2, 3)"),
        (torch.ones(2, dtype=torch.int64), torch.ones(2), "it has dtype int64, expected float32"),
        (torch.ones(2), torch.ones(2, dtype=torch.bool), "it has dtype float32, expected bool"),
        (torch.ones(2, dtype=torch.float64), torch.ones(2), "it has dtype float64, expected float32"),
        (torch.tensor([1, torch.nan, torch.nan]), torch.ones(3), "it: 2 of 3 numbers are NaN, expected none"),
        (float("nan"), 1.0, "it: 1 of 1 numbers are NaN, expected none"),
        (torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0]), "it: yours is [1, 2], expected [2, 1]"),
        (torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 1.0]]), "it: yours is [[1, 2]], expected [[2, 1]]"),
        (1.5, 1.25, "it: yours is 1.5, expected 1.25"),
        ((1.0, 3.0), (1.0, 2.0), "it, number 2 of 2: yours is 3, expected 2"),
        (0.14658, 0.14664, "it: yours is 0.14658, expected 0.14664"),
    ],
)
def test_what_is_off_is_said_in_one_sentence(yours, expected, sentence):
    with says(sentence):
        expect_close(yours, expected, "it")


def test_of_many_numbers_the_one_farthest_off_is_shown():
    yours = torch.zeros(2, 3)
    yours[0, 1], yours[1, 2] = 0.5, -4.0
    with says("it: at [1, 2] yours is -4, expected 0 (2 of 6 numbers differ)"):
        expect_close(yours, torch.zeros(2, 3), "it")
    yours[0, 0] = torch.inf
    with says("it: at [0, 0] yours is inf, expected 0 (3 of 6 numbers differ)"):
        expect_close(yours, torch.zeros(2, 3), "it")


def test_tolerances():
    expect_close(1.01, 1.0, "it", rtol=0.02)
    with pytest.raises(WrongAnswer):
        expect_close(1.001, 1.0, "it")


def test_equal_things_pass():
    expect_equal(torch.Size([2, 3]), (2, 3), "it")
    expect_equal([2, torch.tensor(3)], (2, 3), "it")
    expect_equal([[2, 3], [4, 5]], [(2, 3), (4, 5)], "it")
    expect_equal(np.int64(5), 5, "it")
    expect_equal("a", "a", "it")
    expect_equal(torch.tensor([1, 2]), torch.tensor([1, 2]), "it")


@pytest.mark.parametrize(
    ("yours", "expected", "sentence"),
    [
        (5, 6, "it: yours is 5, expected 6"),
        (1, True, "it is an int, expected a bool"),
        ("5", 5, "it is a str, expected an int"),
        ((2, 3), (3, 2), "it: yours is (2, 3), expected (3, 2)"),
        ((2, 3, 4), (2, 3), "it: yours has 3 items, expected 2"),
        (torch.ones(2), 5, "it is a Tensor, expected an int"),
        ([torch.ones(2)], [5], "it: yours is [tensor([1., 1.])], expected [5]"),
        (torch.tensor([1, 2]), torch.tensor([2, 1]), "it: yours is [1, 2], expected [2, 1]"),
    ],
)
def test_unequal_things_are_refused(yours, expected, sentence):
    with says(sentence):
        expect_equal(yours, expected, "it")


def test_predictions_are_named_by_their_question():
    expected = {"shape": (2, 3), "mean": 2.5}
    expect_predictions({"shape": [2, 3], "mean": 2.501}, expected)
    with says("mean: yours is 2.6, expected 2.5"):
        expect_predictions({"shape": (2, 3), "mean": 2.6}, expected)
    with says("shape: yours is (3, 2), expected (2, 3)"):
        expect_predictions({"shape": (3, 2), "mean": 2.5}, expected)


SPOILERS = {
    "tensor": lambda tensor, numbers, nested, key: tensor.zero_(),
    "numbers": lambda tensor, numbers, nested, key: numbers.append(3) or 1,
    "nested": lambda tensor, numbers, nested, key: nested[0].add_(1),
    "key": lambda tensor, numbers, nested, key: key["a"].fill(0) or 1,
}


@pytest.mark.parametrize("name", SPOILERS)
def test_what_changes_its_arguments_is_refused_and_the_callers_own_stay_as_they_are(name):
    tensor, numbers, nested, array = torch.ones(2), [1, 2], (torch.ones(2),), np.ones(2)
    with pytest.raises(WrongAnswer, match=f"<lambda> changes its argument `{name}`, which the caller may still need"):
        call(SPOILERS[name], tensor, numbers, nested, key={"a": array})
    assert tensor.tolist() == nested[0].tolist() == array.tolist() == [1, 1] and numbers == [1, 2]


def test_nan_in_an_argument_is_no_change():
    assert call(lambda tensor: 1, torch.tensor(torch.nan)) == 1


def test_arguments_of_a_partial_are_compared_too():
    leaf = torch.ones(2)
    with pytest.raises(WrongAnswer, match="changes its argument"):
        call(partial(lambda tensor, number: tensor.mul_(number), leaf), 3)


def test_an_endless_loop_is_told(monkeypatch):
    """The limit counts work, so no other load can make this fail."""
    monkeypatch.setattr(calling, "SECONDS", 0.1)

    def never_ends(number):
        while number:
            number += 1

    with says("never_ends was still at work after 0.1 seconds: does a loop never end?"):
        call(never_ends, 1)


def test_an_endless_loop_that_catches_exceptions_is_told(monkeypatch):
    monkeypatch.setattr(calling, "SECONDS", 0.1)

    def never_ends(number):
        while number:
            try:
                number += 1
            except ValueError:
                number = 1

    with pytest.raises(WrongAnswer, match="still at work"):
        call(never_ends, 1)


def test_an_endless_loop_in_a_kernels_thread_is_told(monkeypatch):
    monkeypatch.setattr(calling, "SECONDS", 0.1)

    def one_read(value, output, row, column, height, width, channels):
        while channels:
            channels += 1

    with pytest.raises(WrongAnswer, match="still at work"):
        exercises.examine(exercises.find("13-one-read"), one_read)


def test_a_print_is_kept_back(capsys):
    assert call(lambda number: print("so far", number) or number, 1) == 1
    with says("<lambda> returned None: is a `return` missing? It prints '3.5'."):
        call(lambda number: print(number), 3.5)
    assert not capsys.readouterr().out


def test_a_notebooks_own_exit_is_told():
    """IPython puts objects of its own under these names, which raise nothing."""
    names = {"exit": lambda: None, "quit": (quiet := lambda: None)}
    exec("def answer(number):\n    quit()\n    return number", names)
    with pytest.raises(WrongAnswer, match="answer raised SystemExit"):
        call(names["answer"], 1)
    assert names["quit"] is quiet


def scaled(x, factor):
    return factor * x


def test_the_same_is_asked_of_other_forms():
    x, factor = torch.randn(2, 3), torch.randn(3)
    expect_same(lambda x, factor: x * factor, scaled, (x, factor), "it", gradient=["x", "factor"])
    with pytest.raises(WrongAnswer, match="raised RuntimeError: view size is not compatible"):
        expect_same(
            lambda x, factor: x.view(6) * factor.repeat(2),
            lambda x, factor: scaled(x, factor).flatten(),
            (x, factor),
            "it",
        )
    with says("it, in float64, has dtype float32, expected float64"):
        expect_same(lambda x, factor: (factor * x).float(), scaled, (x, factor), "it")


def test_a_missing_gradient_is_told():
    x, factor = torch.randn(2, 3), torch.randn(3)
    with pytest.raises(WrongAnswer, match="it: the numbers are right, but no gradient goes back from them"):
        expect_same(lambda x, factor: (factor * x).detach(), scaled, (x, factor), "it", gradient=["x"])
    with pytest.raises(WrongAnswer, match="it: the numbers are right, but their gradient at `factor` is cut off"):
        expect_same(lambda x, factor: factor.detach() * x, scaled, (x, factor), "it", gradient=["x", "factor"])
    with pytest.raises(WrongAnswer, match=r"but their gradient at `x`: at \["):
        expect_same(lambda x, factor: factor * x + x - x.detach(), scaled, (x, factor), "it", gradient=["x"])


def test_a_call_keeps_what_needs_a_gradient():
    leaf = torch.ones(2, requires_grad=True)
    assert call(lambda a, b, c: (a.requires_grad, b.requires_grad, c.requires_grad), leaf, leaf * 2, leaf.detach()) == (
        True,
        True,
        False,
    )


def test_none_is_a_missing_return():
    def forgot(number):
        number + 1

    with says("forgot returned None: is a `return` missing?"):
        call(forgot, 1)


def test_a_partial_keeps_its_arguments_and_its_name():
    leaf = torch.ones(2, requires_grad=True)
    call(partial(torch.mul, leaf, 3)).sum().backward()
    assert leaf.grad.tolist() == [3, 3]

    def forgot(number):
        number + 1

    with says("forgot returned None: is a `return` missing?"):
        call(partial(forgot, 1))


def test_an_exception_is_told_with_the_learners_line():
    def wrong_axes(image):
        return torch.cat([image, image.T])

    line = wrong_axes.__code__.co_firstlineno + 1
    with pytest.raises(WrongAnswer) as caught:
        call(wrong_axes, torch.ones(2, 3))
    sentence = str(caught.value)
    assert sentence.startswith("wrong_axes raised RuntimeError: Sizes of tensors must match")
    assert sentence.endswith(f"(in line {line}: return torch.cat([image, image.T]))")
    assert "\n" not in sentence and caught.value.__cause__ is None


def test_the_line_is_the_learners_even_if_a_library_raised():
    def asks_torch(number):
        return torch.nn.Linear(number, number)(torch.ones(number + 1))

    with pytest.raises(WrongAnswer, match=r"\(in line \d+: return torch.nn.Linear"):
        call(asks_torch, 3)


def test_an_exception_without_words_and_an_exit_are_told():
    def gives_up(number):
        raise ValueError

    line = gives_up.__code__.co_firstlineno + 1
    with says(f"gives_up raised ValueError (in line {line}: raise ValueError)"):
        call(gives_up, 1)
    with pytest.raises(WrongAnswer, match="<lambda> raised SystemExit: 1 "):
        call(lambda: sys.exit(1))


def test_wrong_number_of_arguments():
    with pytest.raises(WrongAnswer, match="raised TypeError: .*takes 0 positional arguments but 1 was given"):
        call(lambda: 1, 2)


@pytest.mark.parametrize("blank", [lambda: ..., lambda: exec("raise NotImplementedError('about 6 lines')")])
def test_a_blank_is_not_a_wrong_answer(blank):
    with pytest.raises(NotImplementedError):
        call(blank)


def test_what_pytorch_does_not_know_is_no_blank():
    with pytest.raises(WrongAnswer, match="<lambda> raised NotImplementedError: .*not implemented for 'Float'"):
        call(lambda number: torch.arange(2).repeat_interleave(torch.ones(2)), 1)


def test_ipython_prints_the_sentence_alone(capsys):
    shell = InteractiveShell()
    shell.run_cell(
        "from defdetr_ref.course.exercises import WrongAnswer\nraise WrongAnswer('03-star: two sentences short')"
    )
    printed = capsys.readouterr()
    assert (printed.out + printed.err).strip() == "03-star: two sentences short"


@dataclasses.dataclass
class Given:
    """What holds tensors, as the tokens of an image do."""

    numbers: torch.Tensor
    sizes: list[tuple[int, int]]


def test_modules_data_classes_and_dicts_come_in_float64_too():
    seen = []

    def weighted(module, given, target):
        seen.append((module.weight.dtype, given.numbers.dtype, target["boxes"].dtype))
        return module(given.numbers + target["boxes"])

    def in_float32(module, given, target):
        return weighted(module, given, target).float()

    arguments = torch.nn.Linear(2, 3), Given(torch.rand(4, 2), [(2, 3)]), {"boxes": torch.rand(4, 2), "name": "a"}
    expect_same(weighted, weighted, arguments, "it")
    assert {types for types in seen} == {(torch.float32,) * 3, (torch.float64,) * 3}
    assert arguments[0].weight.dtype == arguments[1].numbers.dtype == arguments[2]["boxes"].dtype == torch.float32
    with says("it, in float64, has dtype float32, expected float64"):
        expect_same(in_float32, weighted, arguments, "it")


def test_a_change_inside_a_data_class_or_a_module_is_told():
    def change_numbers(module, given):
        return module(given.numbers.mul_(2))

    def change_weights(module, given):
        with torch.no_grad():
            module.weight += 1
        return module(given.numbers)

    arguments = torch.nn.Linear(2, 3), Given(torch.rand(4, 2), [(2, 3)])
    with pytest.raises(WrongAnswer, match="change_numbers changes its argument `given`"):
        call(change_numbers, *arguments)
    with pytest.raises(WrongAnswer, match="change_weights changes its argument `module`"):
        call(change_weights, *arguments)
    assert call(lambda module, given: module(given.numbers), *arguments).shape == (4, 3)


def test_the_gradient_of_several_results_is_compared():
    def both(x):
        return [(x.sin(), x.cos()), x.sum()]

    def one_detached(x):
        return [(x.sin(), x.cos().detach()), x.sum()]

    expect_same(both, both, (torch.rand(2, 3),), "it", gradient=["x"])
    with pytest.raises(WrongAnswer, match="it: the numbers are right, but their gradient at `x`"):
        expect_same(one_detached, both, (torch.rand(2, 3),), "it", gradient=["x"])
    with pytest.raises(WrongAnswer, match="it: the numbers are right, but no gradient goes back from them"):
        expect_same(lambda x: [(x.sin().detach(), x.cos().detach()), x.sum().detach()], both, (torch.rand(2, 3),),
                    "it", gradient=["x"])  # fmt: skip
