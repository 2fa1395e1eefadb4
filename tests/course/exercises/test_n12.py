"""Notebook 12: mistakes that the checks must refuse."""

from defdetr_ref.course.exercises.n12 import flops_and_bytes, lines_of_a_warp
from defdetr_ref.studies.counting import Workload, operator_cost
from tests.course.exercises import three_ways


def changed(flops=lambda *_: 0, gathered=lambda *_: 0, compulsory=lambda *_: 0):
    """The right counts with something added to one of them."""

    def answer(queries, tokens, d_model, heads, levels, points):
        numbers = queries, tokens, d_model, heads, levels, points
        extra = flops(*numbers), gathered(*numbers), compulsory(*numbers)
        return tuple(right + more for right, more in zip(flops_and_bytes(*numbers), extra, strict=True))

    return answer


MISTAKES = {
    "12-counts": {
        "one FLOP for a product and a sum": lambda *numbers: (
            flops_and_bytes(*numbers)[0] // 2,
            *flops_and_bytes(*numbers)[1:],
        ),
        "one corner, not four": lambda *numbers: (flops_and_bytes(*numbers)[0] // 4, *flops_and_bytes(*numbers)[1:]),
        "all channels for every head": lambda q, s, c, m, *rest: flops_and_bytes(q, s, c * m, m, *rest),
        "one level": lambda q, s, c, m, levels, points: flops_and_bytes(q, s, c, m, 1, points),
        "one point": lambda q, s, c, m, levels, points: flops_and_bytes(q, s, c, m, levels, 1),
        "tokens for queries": lambda q, s, *rest: flops_and_bytes(s, q, *rest),
        "bits for bytes": lambda *numbers: tuple(
            count * factor for count, factor in zip(flops_and_bytes(*numbers), (1, 8, 8), strict=True)
        ),
        "the weights forgotten": changed(
            gathered=lambda q, s, c, m, levels, points: -4 * q * m * levels * points,
            compulsory=lambda q, s, c, m, levels, points: -4 * q * m * levels * points,
        ),
        "the output forgotten": changed(
            gathered=lambda q, s, c, *_: -4 * q * c, compulsory=lambda q, s, c, *_: -4 * q * c
        ),
        "compulsory means each time": lambda *numbers: (*flops_and_bytes(*numbers)[:2], flops_and_bytes(*numbers)[1]),
        "bytes first": lambda *numbers: flops_and_bytes(*numbers)[::-1],
    },
    "12-lines": {
        "different addresses": lambda addresses: len(addresses[addresses >= 0].unique()),
        "idle threads read line -1": lambda addresses: len((addresses // 128).unique()),
        "lines of 32 bytes": lambda addresses: len((addresses[addresses >= 0] // 32).unique()),
        "lines of 128 numbers": lambda addresses: len((addresses[addresses >= 0] // 512).unique()),
        "from the first to the last": lambda addresses: int((addresses.max() - addresses.min()) // 128) + 1,
        "changes from thread to thread": lambda addresses: 1 + int((addresses // 128).diff().ne(0).sum()),
        "bytes over 128": lambda addresses: -(-4 * int((addresses >= 0).sum()) // 128),
        "one": lambda addresses: 1,
        "one more": lambda addresses: lines_of_a_warp(addresses) + 1,
    },
}


def test_the_solution_counts_what_the_package_counts():
    work = Workload(side=96, d_model=40, num_heads=5, num_points=3, strides=(8, 16))
    cost = operator_cost(work)
    assert flops_and_bytes(work.tokens, work.tokens, 40, 5, 2, 3) == (cost.flops, cost.gathered, cost.compulsory)


def test_the_sentence_names_the_count_and_the_case():
    sentence = three_ways.refuses("12-counts", MISTAKES["12-counts"]["bytes first"])
    assert sentence.startswith("FLOPs of (queries, tokens, d_model, heads, levels, points) = (1, 2, 2, 1, 1, 1)")
    sentence = three_ways.refuses("12-lines", MISTAKES["12-lines"]["different addresses"])
    assert sentence.startswith("lines of a warp that reads side by side: yours is 32")
