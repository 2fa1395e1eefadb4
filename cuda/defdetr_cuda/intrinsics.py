"""The helpers of `memory.py` as GPU instructions: intrinsics that put LLVM or PTX into a Numba kernel.

Each has a plain Python version of the same name in `intrinsics_simulated.py`, which says what it does.
"""

from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic

from defdetr_cuda.limits import VECTOR_BYTES

F32, I32, I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
GLOBAL = 1  # the number of the address space in NVVM
ALIGNMENT = VECTOR_BYTES  # of shared arrays, so that `load4` and `store4` may read and write them


def _address(builder, pointer, index, index_type):
    """pointer + index, as an address in global memory."""
    to_64_bits = builder.sext if index_type.signed else builder.zext
    wide = index if index.type == I64 else to_64_bits(index, I64)
    element = builder.gep(pointer, [wide])
    return builder.addrspacecast(element, ir.PointerType(element.type.pointee, GLOBAL))


def _assembly(builder, text, constraints, result, arguments, *, writes):
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(ir.InlineAsm(function, text, constraints, side_effect=writes), arguments)


def _outputs(builder, struct, count):
    return [builder.extract_value(struct, i) for i in range(count)]


def _tuple(context, builder, numbers):
    return context.make_tuple(builder, types.UniTuple(types.float32, len(numbers)), numbers)


def _read_only_load(builder, address, kind, result, count):
    """`count` registers of 4 bytes through the read-only cache, in one instruction."""
    constraint = {"f32": "=f", "u32": "=r"}[kind]
    registers = ", ".join(f"${i}" for i in range(count))
    text = f"ld.global.nc.v{count}.{kind} {{{registers}}}, [${count}];"
    struct = ir.LiteralStructType([result] * count)
    constraints = ",".join([constraint] * count + ["l"])
    return _outputs(builder, _assembly(builder, text, constraints, struct, [address], writes=False), count)


@intrinsic
def advance(typing_context, pointer, elements):
    def code(context, builder, signature, arguments):
        moved = builder.ptrtoint(builder.gep(arguments[0], [arguments[1]]), I64)
        # A copy the compiler cannot see through: it would add `elements` to every later index instead, in 64 bits.
        copy = _assembly(builder, "mov.u64 $0, $1;", "=l,l", I64, [moved], writes=False)
        return builder.inttoptr(copy, arguments[0].type)

    return pointer(pointer, types.int64), code


@intrinsic
def load_scalar(typing_context, pointer, index):
    def code(context, builder, signature, arguments):
        return builder.load(_address(builder, *arguments, index))

    return pointer.dtype(pointer, index), code


@intrinsic
def load_or_zero(typing_context, pointer, index, there):
    def code(context, builder, signature, arguments):
        elsewhere = builder.block
        with builder.if_then(arguments[2]):
            number = builder.load(_address(builder, *arguments[:2], index))
            read = builder.block
        result = builder.phi(number.type)
        result.add_incoming(ir.Constant(number.type, 0.0), elsewhere)
        result.add_incoming(number, read)
        return result

    return pointer.dtype(pointer, index, types.boolean), code


@intrinsic
def store_scalar(typing_context, pointer, index, number):
    def code(context, builder, signature, arguments):
        builder.store(arguments[2], _address(builder, *arguments[:2], index))
        return context.get_dummy_value()

    return types.void(pointer, index, pointer.dtype), code


@intrinsic
def add_scalar(typing_context, pointer, index, number):
    bits = pointer.dtype.bitwidth

    def code(context, builder, signature, arguments):
        address = _address(builder, *arguments[:2], index)
        text, constraints = f"red.global.add.f{bits} [$0], $1;", "l,f" if bits == 32 else "l,d"
        _assembly(builder, text, constraints, ir.VoidType(), [address, arguments[2]], writes=True)
        return context.get_dummy_value()

    return types.void(pointer, index, pointer.dtype), code


@intrinsic
def to_pixels(typing_context, location, size):
    bits, letter = location.bitwidth, "f" if location.bitwidth == 32 else "d"

    def code(context, builder, signature, arguments):
        real = arguments[0].type
        factors = [arguments[0], builder.sitofp(arguments[1], real)]
        # `.rn` spelled out keeps the assembler from fusing the product with what follows.
        text, constraints = f"mul.rn.f{bits} $0, $1, $2;", f"={letter},{letter},{letter}"
        product = _assembly(builder, text, constraints, real, factors, writes=False)
        return builder.fsub(product, ir.Constant(real, 0.5))

    return location(location, types.int32), code


def _unsigned(operation):
    """`operation`: the name of an LLVM instruction on two unsigned integers."""

    def typed(typing_context, a, b):
        def code(context, builder, signature, arguments):
            return getattr(builder, operation)(*arguments)

        return types.uint32(types.uint32, types.uint32), code

    return intrinsic(typed)


quotient, remainder = _unsigned("udiv"), _unsigned("urem")


@intrinsic
def floor(typing_context, x):
    text, constraints = f"cvt.rmi.s32.f{x.bitwidth} $0, $1;", "=r,f" if x.bitwidth == 32 else "=r,d"

    def code(context, builder, signature, arguments):
        return _assembly(builder, text, constraints, I32, arguments, writes=False)

    return types.int32(x), code


@intrinsic
def load_pair(typing_context, pointer, index):
    def code(context, builder, signature, arguments):
        return _tuple(context, builder, _read_only_load(builder, _address(builder, *arguments, index), "f32", F32, 2))

    return types.UniTuple(types.float32, 2)(pointer, index), code


@intrinsic
def load_float32(typing_context, pointer, index):
    def code(context, builder, signature, arguments):
        return _tuple(context, builder, _read_only_load(builder, _address(builder, *arguments, index), "f32", F32, 4))

    return types.UniTuple(types.float32, 4)(pointer, index), code


def _load_16_bit(widen):
    """A load of eight 16-bit numbers; `widen(builder, word)` makes two float32 of 32 bits."""

    def typed(typing_context, pointer, index):
        def code(context, builder, signature, arguments):
            words = _read_only_load(builder, _address(builder, *arguments, index), "u32", I32, 4)
            return _tuple(context, builder, [number for word in words for number in widen(builder, word)])

        return types.UniTuple(types.float32, 8)(pointer, index), code

    return intrinsic(typed)


def _widen_float16(builder, word):
    halves = builder.bitcast(word, ir.VectorType(ir.HalfType(), 2))
    return [builder.fpext(builder.extract_element(halves, ir.Constant(I32, i)), F32) for i in range(2)]


def _widen_bfloat16(builder, word):
    low, high = builder.shl(word, ir.Constant(I32, 16)), builder.and_(word, ir.Constant(I32, 0xFFFF0000))
    return [builder.bitcast(bits, F32) for bits in (low, high)]


load_float16, load_bfloat16 = _load_16_bit(_widen_float16), _load_16_bit(_widen_bfloat16)


@intrinsic
def store_float32(typing_context, pointer, index, vector):
    def code(context, builder, signature, arguments):
        address = _address(builder, *arguments[:2], index)
        numbers = cgutils.unpack_tuple(builder, arguments[2])
        text = "st.global.v4.f32 [$0], {$1, $2, $3, $4};"
        _assembly(builder, text, "l,f,f,f,f", ir.VoidType(), [address, *numbers], writes=True)
        return context.get_dummy_value()

    return types.void(pointer, index, vector), code


def _store_16_bit(narrowing):
    """A store of eight numbers rounded to 16 bits; `narrowing` is PTX that packs two float32, upper half first."""

    def typed(typing_context, pointer, index, vector):
        def code(context, builder, signature, arguments):
            address = _address(builder, *arguments[:2], index)
            numbers = cgutils.unpack_tuple(builder, arguments[2])
            pairs = zip(numbers[1::2], numbers[::2], strict=True)
            words = [_assembly(builder, narrowing, "=r,f,f", I32, [high, low], writes=False) for high, low in pairs]
            text = "st.global.v4.b32 [$0], {$1, $2, $3, $4};"
            _assembly(builder, text, "l,r,r,r,r", ir.VoidType(), [address, *words], writes=True)
            return context.get_dummy_value()

        return types.void(pointer, index, vector), code

    return intrinsic(typed)


store_float16 = _store_16_bit("cvt.rn.f16x2.f32 $0, $1, $2;")
store_bfloat16 = _store_16_bit("cvt.rn.bf16x2.f32 $0, $1, $2;")


def _add(instruction, width):
    """Reductions in memory of `width` numbers at a time, for a vector of any length."""
    registers = [f"${i + 1}" for i in range(width)]
    operand = f"{{{', '.join(registers)}}}" if width > 1 else registers[0]
    text, constraints = f"{instruction} [$0], {operand};", ",".join(["l"] + ["f"] * width)

    def typed(typing_context, pointer, index, vector):
        def code(context, builder, signature, arguments):
            address = _address(builder, *arguments[:2], index)
            numbers = cgutils.unpack_tuple(builder, arguments[2])
            for first in range(0, len(numbers), width):
                place = builder.gep(address, [ir.Constant(I32, first)])
                group = numbers[first : first + width]
                _assembly(builder, text, constraints, ir.VoidType(), [place, *group], writes=True)
            return context.get_dummy_value()

        return types.void(pointer, index, vector), code

    return intrinsic(typed)


add_vector = _add("red.global.add.v4.f32", 4)  # compute capability 9.0 and later
add_vector_by_scalars = _add("red.global.add.f32", 1)


def _shared_row(context, builder, array_type, array, row):
    """The address of elements 4·row … 4·row + 3 as one vector."""
    data = context.make_array(array_type)(context, builder, array).data
    element = context.get_data_type(array_type.dtype)
    vectors = builder.bitcast(data, ir.PointerType(ir.VectorType(element, 4)))
    return builder.gep(vectors, [row])


@intrinsic
def load4(typing_context, shared, row):
    def code(context, builder, signature, arguments):
        vector = builder.load(_shared_row(context, builder, shared, *arguments), align=VECTOR_BYTES)
        numbers = [builder.extract_element(vector, ir.Constant(I32, i)) for i in range(4)]
        return context.make_tuple(builder, signature.return_type, numbers)

    return types.UniTuple(shared.dtype, 4)(shared, types.int32), code


@intrinsic
def store4(typing_context, shared, row, a, b, c, d):
    def code(context, builder, signature, arguments):
        vector = ir.Constant(ir.VectorType(arguments[2].type, 4), ir.Undefined)
        for i, number in enumerate(arguments[2:]):
            vector = builder.insert_element(vector, number, ir.Constant(I32, i))
        builder.store(vector, _shared_row(context, builder, shared, *arguments[:2]), align=VECTOR_BYTES)
        return context.get_dummy_value()

    number = shared.dtype
    return types.void(shared, types.int32, number, number, number, number), code


@intrinsic
def scaled(typing_context, factor, vector):
    def code(context, builder, signature, arguments):
        numbers = cgutils.unpack_tuple(builder, arguments[1])
        return _tuple(context, builder, [builder.fmul(arguments[0], number) for number in numbers])

    return vector(types.float32, vector), code


@intrinsic
def multiply_add(typing_context, factor, vector, total):
    def code(context, builder, signature, arguments):
        pairs = zip(*(cgutils.unpack_tuple(builder, argument) for argument in arguments[1:]), strict=True)
        return _tuple(context, builder, [builder.fma(arguments[0], number, old) for number, old in pairs])

    return vector(types.float32, vector, vector), code


@intrinsic
def dot(typing_context, a, b):
    def code(context, builder, signature, arguments):
        total = ir.Constant(F32, 0.0)
        for x, y in zip(*(cgutils.unpack_tuple(builder, argument) for argument in arguments), strict=True):
            total = builder.fma(x, y, total)
        return total

    return types.float32(a, a), code
