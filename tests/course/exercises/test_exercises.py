"""`exercises.check` on right, blank, half and wrong answers."""

import re

import numpy as np
import pytest
import torch

from defdetr_ref.course import exercises
from defdetr_ref.course.exercises import (
    Exercise,
    WrongAnswer,
    call,
    check,
    exercise,
    expect_close,
    expect_predictions,
)


def double(numbers):
    """What a solution looks like."""
    return 2 * numbers


def examine_double(answer, right):
    for shape in ((1,), (2, 3)):
        numbers = torch.randn(shape)
        expect_close(call(answer, numbers), right(numbers), "the doubled numbers")


PREDICTED = {"levels": 4, "tokens": 85}
DOUBLE = Exercise("98-double", double, examine_double, hint="Twice one is two.")
PREDICT = Exercise("98-predict", PREDICTED, expect_predictions)


@pytest.fixture(autouse=True)
def two_exercises(monkeypatch):
    real = exercises.of_notebook
    numbers = exercises._numbers()
    monkeypatch.setattr(exercises, "_numbers", lambda: [*numbers, "98"])
    monkeypatch.setattr(exercises, "of_notebook", lambda number: [DOUBLE, PREDICT] if number == "98" else real(number))


def test_a_right_answer_comes_back(capsys):
    def mine(numbers):
        return numbers + numbers

    assert check("98-double", mine) is mine
    assert capsys.readouterr().out == "98-double: right.\n"


def test_a_blank_gives_the_solution(capsys):
    def blank(numbers):
        raise NotImplementedError("about 1 line")

    assert check("98-double", blank) is double
    assert check("98-double", ...) is double
    assert capsys.readouterr().out == 2 * "98-double: not solved yet; going on with the package's version.\n"


def test_a_wrong_answer_is_told_with_the_hint():
    with pytest.raises(AssertionError) as caught:
        check("98-double", lambda numbers: numbers[0])
    assert str(caught.value) == (
        "98-double: not right yet: the doubled numbers has shape (), expected (1,). Hint: Twice one is two."
    )


def test_another_dtype_is_told_without_the_hint_to_the_numbers():
    with pytest.raises(exercises.WrongAnswer, match="expected float32$"):
        exercises.check("98-double", lambda numbers: (2 * numbers).double())


def test_a_sentence_that_ends_already_gets_no_second_stop():
    with pytest.raises(WrongAnswer, match=r"<lambda> returned None: is a `return` missing\? Hint: Twice one is two\.$"):
        check("98-double", lambda numbers: None)


@pytest.mark.parametrize("answer", [None, 5, "text", torch.ones(2)])
def test_what_is_no_function_is_told(answer):
    with pytest.raises(WrongAnswer, match="98-double: not right yet: expected a function, got "):
        check("98-double", answer)


def test_predictions(capsys):
    mine = {"levels": 4, "tokens": 85}
    assert check("98-predict", mine) is mine
    assert check("98-predict", {"levels": 4, "tokens": ...}) is PREDICTED
    assert capsys.readouterr().out.splitlines()[1].startswith("98-predict: not solved yet")
    with pytest.raises(WrongAnswer, match="98-predict: not right yet: tokens: yours is 84, expected 85"):
        check("98-predict", {"levels": 4, "tokens": 84})
    with pytest.raises(WrongAnswer, match="there is no answer to 'tokens'"):
        check("98-predict", {"levels": 4})
    with pytest.raises(WrongAnswer, match=r"expected a dict with an answer to each question, got \[4, 85\]"):
        check("98-predict", [4, 85])
    with pytest.raises(WrongAnswer, match="tokens is a str, expected an int"):
        check("98-predict", {"levels": 4, "tokens": "85"})


def test_an_unknown_name_lists_names_near_it():
    with pytest.raises(ValueError, match=re.escape("there is no exercise '98-doubel'; did you mean 98-double")):
        check("98-doubel", double)
    with pytest.raises(ValueError, match="there is no exercise 'x'; did you mean .*98-double or 98-predict"):
        check("x", double)


def test_the_notebooks_random_numbers_do_not_notice_a_check():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check("98-double", double)
    assert torch.equal(torch.rand(2), expected)


def test_every_check_draws_the_same_cases():
    seen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        check("98-double", lambda numbers: seen.append(numbers) or 2 * numbers)
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3])


def test_the_solution_is_printed(capsys):
    exercises.solution("98-double")
    assert capsys.readouterr().out.splitlines()[::2] == ["def double(numbers):", "    return 2 * numbers"]
    exercises.solution("98-predict")
    assert capsys.readouterr().out == "'levels': 4\n'tokens': 85\n"


def test_names_are_found():
    assert exercises.find("98-double") is DOUBLE
    assert exercises.names()[-2:] == ["98-double", "98-predict"]


def test_a_print_in_a_right_answer_is_told(capsys):
    check("98-double", lambda numbers: print("here") or 2 * numbers)
    assert capsys.readouterr().out == (
        "98-double: right.\n(It prints while it runs, which a check keeps back: 'here here'.)\n"
    )


def test_the_smallest_failing_input_can_be_had():
    def only_one(numbers):
        return 2 * numbers if numbers.numel() == 1 else numbers

    with pytest.raises(WrongAnswer):
        check("98-double", only_one)
    case = exercises.failing("98-double")
    assert case.arguments[0].shape == (2, 3) and case.sentence.startswith("the doubled numbers: at [")
    assert not torch.equal(only_one(*case.arguments), double(*case.arguments))
    check("98-double", double)
    with pytest.raises(ValueError, match="98-double failed on no input when it was last checked"):
        exercises.failing("98-double")
    with pytest.raises(ValueError, match="there is no exercise '98-doubel'"):
        exercises.failing("98-doubel")


KNOWN = [
    {"of": ["98-double"], "right": "2 * numbers", "wrong": "numbers**2", "hint": "That is the square."},
    {"of": ["98-double"], "right": "2 * numbers", "wrong": "2 / numbers.tolist()[7]", "hint": "There is no 7."},
    {"of": ["98-predict"], "right": "levels", "wrong": 5, "hint": "C3 to C6."},
]


def test_a_known_mistake_gets_its_own_hint(monkeypatch):
    monkeypatch.setattr(exercise, "_known", lambda: KNOWN)
    for answer, told in (
        (lambda numbers: numbers * numbers, "That is the square."),
        (lambda numbers: numbers.tolist()[7], "There is no 7."),
        (lambda numbers: 3 * numbers, "Twice one is two."),
    ):
        with pytest.raises(WrongAnswer, match=f"Hint: {re.escape(told)}$"):
            check("98-double", answer)
    with pytest.raises(WrongAnswer, match="levels: yours is 5, expected 4. Hint: C3 to C6.$"):
        check("98-predict", PREDICTED | {"levels": 5})
    with pytest.raises(WrongAnswer, match="levels: yours is 6, expected 4$"):
        check("98-predict", PREDICTED | {"levels": 6})


def test_a_mistake_of_another_source_is_told(monkeypatch):
    with pytest.raises(ValueError, match="the source of double does not hold '3 [*] numbers'"):
        exercise.rewritten(double, "3 * numbers", "numbers")


def test_numpy_answers_of_one_number_are_fine():
    expect_predictions({"tokens": np.int64(85)}, {"tokens": 85})


def test_a_hint_can_be_had_before_any_try(capsys):
    exercises.hint("98-double")
    assert capsys.readouterr().out == "Twice one is two.\n"
    exercises.hint("98-predict")
    assert "98-predict has no hint; exercises.solution('98-predict')" in capsys.readouterr().out
    with pytest.raises(ValueError, match="98-double"):
        exercises.hint("98-dubble")
