"""The helpers of `memory.py` in plain Python, for the simulator: what each instruction does, lane by lane.

A pointer is a flat NumPy array here; bfloat16, which NumPy lacks, travels as its bits in uint16. Every access is
checked, so that a read outside an array, which a GPU may answer with garbage, is an IndexError.
"""

import threading

import numpy as np

ALIGNMENT = None  # of shared arrays in bytes: the simulator takes none
ATOMIC = threading.Lock()  # the simulator's threads are Python threads


def _checked(pointer, index, count):
    if not 0 <= index <= pointer.size - count:
        raise IndexError(f"elements {index} to {index + count - 1} of an array of {pointer.size}")
    return int(index)


def advance(pointer, elements):
    """The pointer moved on: what was at index `elements` is now at 0."""
    if elements < 0:
        raise IndexError(f"a pointer moved back by {-elements} elements")
    return pointer[elements:]


def load_scalar(pointer, index):
    return pointer[_checked(pointer, index, 1)]


def load_or_zero(pointer, index, there):
    """The number at `index` if it is there; zero, and no read, if not."""
    return load_scalar(pointer, index) if there else pointer.dtype.type(0)


def store_scalar(pointer, index, number):
    pointer[_checked(pointer, index, 1)] = number


def add_scalar(pointer, index, number):
    index = _checked(pointer, index, 1)
    with ATOMIC:
        pointer[index] += number


def to_pixels(location, size):
    """location · size - 1/2: from [0, 1] to pixels with their centres at whole numbers.

    The product is rounded before the subtraction, as on a CPU: fused, a pixel centre might not come out whole.
    """
    real = type(location)
    return location * real(size) - real(0.5)


def quotient(a, b):
    """a // b of two int32 ≥ 0, as uint32: a GPU divides without a sign faster, and an index without one cannot wrap."""
    return np.uint32(a // b)


def remainder(a, b):
    return np.uint32(a % b)


def floor(x):
    """⌊x⌋ as an int32."""
    return np.int32(np.floor(x))


def load_pair(pointer, index):
    index = _checked(pointer, index, 2)
    return pointer[index], pointer[index + 1]


def _bits_at(pointer, index, count):
    assert index % count == 0, f"a vector load at element {index} is not aligned to {count}"
    index = _checked(pointer, index, count)
    return np.array([pointer[index + i] for i in range(count)])


def load_float32(pointer, index):
    """Four float32 numbers."""
    return tuple(_bits_at(pointer, index, 4))


def load_float16(pointer, index):
    """Eight float16 numbers (bits in uint16), widened to float32."""
    return tuple(_bits_at(pointer, index, 8).view(np.float16).astype(np.float32))


def load_bfloat16(pointer, index):
    """Eight bfloat16 numbers (bits in uint16), widened to float32: the upper half of the same bits."""
    return tuple((_bits_at(pointer, index, 8).astype(np.uint32) << 16).view(np.float32))


def store_float32(pointer, index, vector):
    for i, number in enumerate(vector):
        store_scalar(pointer, index + i, number)


def store_float16(pointer, index, vector):
    store_float32(pointer, index, np.array(vector, np.float16).view(np.uint16))


def store_bfloat16(pointer, index, vector):
    """Rounded to the nearest, ties to even."""
    bits = np.array(vector, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + (bits >> 16 & 1)).astype(np.uint32)) >> 16
    quiet_nan = np.uint32(0x7FFF)
    store_float32(pointer, index, np.where(np.isnan(vector), quiet_nan, rounded).astype(np.uint16))


def add_vector(pointer, index, vector):
    assert index % 4 == 0, f"a vector reduction at element {index} is not aligned"
    for i, number in enumerate(vector):
        add_scalar(pointer, index + i, number)


add_vector_by_scalars = add_vector


def load4(shared, row):
    """Four neighbours of a shared array, `row` in units of four."""
    _checked(shared, 4 * row, 4)
    return tuple(shared[4 * row + i] for i in range(4))


def store4(shared, row, a, b, c, d):
    _checked(shared, 4 * row, 4)
    for i, number in enumerate((a, b, c, d)):
        shared[4 * row + i] = number


def scaled(factor, vector):
    return tuple(factor * number for number in vector)


def multiply_add(factor, vector, total):
    """factor · vector + total, element by element."""
    return tuple(factor * number + old for number, old in zip(vector, total, strict=True))


def dot(a, b):
    total = np.float32(0)
    for x, y in zip(a, b, strict=True):
        total += x * y
    return total
