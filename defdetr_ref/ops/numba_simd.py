"""A row of channels as one vector register, for kernels compiled by Numba.

Numba leaves it to the compiler to find the vector instructions in a loop, and in the operator it does not find them:
it cannot prove that the row that is read and the row that is summed are different memory. Here a row is a value of its
own: `load` reads `width` numbers at once, sums of rows stay in registers, `store` writes them. LLVM splits a row over
as many registers as the processor needs.
"""

from typing import no_type_check

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

# What the compiler may do with sums: reorder and contract them. NaN and infinity keep their meaning.
FAST_MATH = ("contract", "reassoc", "nsz", "arcp")


class RowType(types.Type):
    """`width` numbers of one dtype, held in registers."""

    def __init__(self, dtype, width):
        self.dtype, self.width = dtype, width
        super().__init__(name=f"Row({dtype}, {width})")


@register_model(RowType)
class RowModel(models.PrimitiveModel):
    def __init__(self, manager, row):
        number = manager.lookup(row.dtype).get_value_type()
        super().__init__(manager, row, ir.VectorType(number, row.width))


def _address(context, builder, array_type, array, index, row):
    """Where a row begins: `index` counts numbers from the start of the contiguous array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), context.get_value_type(row).as_pointer())


@intrinsic(prefer_literal=True)
@no_type_check
def zeros(typing_context, array, width):
    """A row of zeros, of the array's dtype."""
    row = RowType(array.dtype, width.literal_value)

    def generate(context, builder, signature, arguments):
        return context.get_constant_null(row)

    return row(array, width), generate


def _widen_bfloat16(builder, bits, integers, floats):
    """The upper half of the same number in float32."""
    return builder.bitcast(builder.shl(bits, _each(integers, 16)), floats)


def _has_float16_instruction() -> bool:
    features = get_host_cpu_features()
    return any(features.get(name) for name in ("f16c", "fp16", "fullfp16", "neon"))


def _widen_float16(builder, bits, integers, floats):
    """By the processor's instruction, or else, to the same number, by integer arithmetic and one product."""
    if _has_float16_instruction():
        narrow = builder.trunc(bits, ir.VectorType(ir.IntType(16), integers.count))
        return builder.fpext(builder.bitcast(narrow, ir.VectorType(ir.HalfType(), integers.count)), floats)
    magnitude = builder.shl(builder.and_(bits, _each(integers, 0x7FFF)), _each(integers, 13))
    # The exponent counts from 15, float32's from 127. As a product, this is right for the smallest numbers, too.
    number = builder.bitcast(builder.fmul(builder.bitcast(magnitude, floats), _each(floats, 2.0**112)), integers)
    infinite = builder.icmp_unsigned(">=", magnitude, _each(integers, 0x7C00 << 13))  # or NaN
    number = builder.select(infinite, builder.or_(magnitude, _each(integers, 0x7F800000)), number)
    sign = builder.shl(builder.and_(bits, _each(integers, 0x8000)), _each(integers, 16))
    return builder.bitcast(builder.or_(number, sign), floats)


WIDEN = {"float16": _widen_float16, "bfloat16": _widen_bfloat16}


def _each(vector, number):
    return ir.Constant(vector, [number] * vector.count)


@intrinsic(prefer_literal=True)
@no_type_check
def load(typing_context, array, index, width, stored_as):
    """The `width` numbers from `index` on.

    array: contiguous, of floats, or of the bits (uint16) of float16 or bfloat16, which neither NumPy nor Numba computes
        with: a row of those is widened to float32, exactly
    index: counted in numbers
    width: a constant
    stored_as: a constant, "float16" or "bfloat16" for bits, else ""
    """
    widen = WIDEN.get(stored_as.literal_value)
    read = RowType(array.dtype, width.literal_value)
    row = RowType(types.float32, width.literal_value) if widen else read

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, array, *arguments[:2], read)
        numbers = builder.load(address, align=array.dtype.bitwidth // 8)
        if widen is None:
            return numbers
        integers = ir.VectorType(ir.IntType(32), row.width)
        return widen(builder, builder.zext(numbers, integers), integers, context.get_value_type(row))

    return row(array, types.intp, width, stored_as), generate


@intrinsic
@no_type_check
def store(typing_context, array, index, row):
    """Write a row from `index` on."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, array, *arguments[:2], row)
        builder.store(arguments[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, row), generate


@intrinsic
@no_type_check
def add_scaled(typing_context, total, factor, row):
    """total + factor · row."""

    def generate(context, builder, signature, arguments):
        total_value, factor_value, row_value = arguments
        vector = context.get_value_type(row)
        index = ir.IntType(32)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), factor_value, index(0))
        mask = ir.Constant(ir.VectorType(index, row.width), [0] * row.width)
        factors = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)
        return builder.fadd(total_value, builder.fmul(factors, row_value, flags=FAST_MATH), flags=FAST_MATH)

    return row(total, row.dtype, row), generate


@intrinsic
@no_type_check
def dot(typing_context, left, right):
    """The sum of the products."""

    def generate(context, builder, signature, arguments):
        vector = context.get_value_type(left)
        number = vector.element
        name = f"llvm.vector.reduce.fadd.v{left.width}f{left.dtype.bitwidth}"
        add_up = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number, vector]), name)
        products = builder.fmul(*arguments, flags=FAST_MATH)
        return builder.call(add_up, [ir.Constant(number, 0.0), products], fastmath=FAST_MATH)

    return left.dtype(left, right), generate


CACHE_LINE = 64  # bytes


@intrinsic(prefer_literal=True)
@no_type_check
def prefetch(typing_context, array, index, width):
    """Ask for the `width` numbers from `index` on, so that they are on their way when `load` needs them."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
        to_read, nearest_level, is_data = number(0), number(3), number(1)
        step = CACHE_LINE * 8 // array.dtype.bitwidth
        for offset in range(0, width.literal_value, step):
            address = builder.gep(data, [builder.add(arguments[1], context.get_constant(types.intp, offset))])
            builder.call(ask, [builder.bitcast(address, pointer), to_read, nearest_level, is_data])
        return context.get_dummy_value()

    return types.void(array, types.intp, width), generate
