"""How inputs are spoilt: bytes, text and trees of json."""

import copy
import random
from collections.abc import Iterator
from typing import Any

NAN, INFINITY = float("nan"), float("inf")
ODD_VALUES = [
    None, True, False, 0, 1, -1, 2, 0.0, 1.0, 0.5, -0.5, 1e-320, 1e308, -1e308, NAN, INFINITY, -INFINITY,
    2**31, 2**53, 2**53 + 1, 2**63, -(2**63), 10**30, 10**400, 10**5000,
    "", "0", "1", "10", "nan", "\0", "\ud800", "a" * 5000, "10.png",
    "../10.png", "/etc/hostname", "..", ".", "a/../10.png",
    [], {}, [1], [[]], {"a": 1}, [1, 2, 3, 4], ["1", "2", "3", "4"], [NAN] * 4, [1e39, 1, 2, 2], [10**400, 1, 2, 2],
    {"small": [0, 1]}, {"small": [0, 1], "medium": [1, 2], "large": [2, NAN]}, {"counts": "abc", "size": [1, 2]},
]  # fmt: skip
DEPTHS = (60, 990, 1200, 5000, 100_000)


def spoil_bytes(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """A few changes of a file: bits, bytes, pieces removed, doubled or taken from another file, the end cut off."""
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not spoilt:
            return b""
        # The beginning, where formats tell their sizes, is met as often as all the rest.
        place = rng.randrange(min(len(spoilt), 64) if rng.random() < 0.5 else len(spoilt))
        length = min(len(spoilt) - place, rng.choice((1, 2, 4, 8, 64, 1000)))
        kind = rng.randrange(6)
        if kind == 0:
            spoilt[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            spoilt[place : place + length] = bytes([rng.choice((0, 255, rng.randrange(256)))]) * length
        elif kind == 2:
            del spoilt[place : place + length]
        elif kind == 3:
            spoilt[place:place] = spoilt[place : place + length]
        elif kind == 4:
            other = rng.choice(others)
            begin = rng.randrange(len(other))
            spoilt[place : place + length] = other[begin : begin + length]
        else:
            del spoilt[place:]
    return bytes(spoilt)


def spoil_tree(tree: Any, rng: random.Random) -> Any:
    """A few changes of json's values: odd ones for good ones, keys and entries removed, doubled or exchanged."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        places = list(_places(tree))
        if not places:
            return rng.choice(ODD_VALUES)
        holder, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            other_holder, other_key = rng.choice(places)
            holder[key] = copy.deepcopy(other_holder[other_key])
        elif kind == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif kind == 2:
            holder[rng.choice(("id", "area", "iscrowd", "segmentation", "info"))] = rng.choice(ODD_VALUES)
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD_VALUES))
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of every value in a tree but the topmost."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def spoil_text(text: str, rng: random.Random) -> str:
    """A few changes of a json's letters."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(text) + 1)
        length = rng.choice((1, 1, 2, 10, 200))
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:place] + text[place + length :]
        elif kind == 1:
            text = text[:place] + rng.choice('{}[]",:0123456789.eE+-\\/\n tfn\x00é😀') + text[place:]
        elif kind == 2:
            text = text[:place] + text[place : place + length] + text[place:]
        elif kind == 3:
            depth = rng.choice(DEPTHS)
            text = text[:place] + rng.choice(("[" * depth, "[" * depth + "]" * depth, '{"a":' * depth)) + text[place:]
        else:
            text = text[:place]
    return text
