"""Chains of elementwise operations, a row of the output after the other, and its int8 codes.

A plan carries a little program: instructions over slots of memory, each a vector operation on a
run of a row.  The run stays in the L1 cache from the first instruction to the last, and what it costs
to decode an instruction is shared by up to 256 elements.

    slots   0..operands-1: inputs;  then the output;  then registers in scratch memory
    inputs  rows of the output's width, or one element a row, which fills a vector of its own

instructions.py says what tables and instructions look like.
"""

from . import simd
from .activations import exact_gelu, sigmoid, silu, tanh, tanh_gelu
from .compiler import inline
from .instructions import (
    ADDRESS,
    BINARY,
    FIRST_TERNARY,
    FIRST_UNARY,
    INSTRUCTION_WORDS,
    IS_SCALAR,
    OPCODE,
    OPCODES,
    OPERAND_WORDS,
    REGISTERS,
    REGISTERS_AT,
    ROW_AT,
    RUN,
    SPLATS_AT,
    TERMS,
    TO,
    UNARY,
    A,
    B,
    C,
)
from .matmul import arg
from .pixels import encode_pixels
from .terms import offset

(
    ROWS, ROWS_PER_CHUNK,
    WIDTH, PIXELS, SIZE,  # elements of a row, a multiple of 16; its pixels; of one, without padding
    OPERANDS, COUNT,  # address of their table, how many
    PROGRAM, INSTRUCTIONS,
    OUT, OUT_STRIDE,  # address 0: nobody wants the floats, only codes
    SINK,  # address of pixels.py's table, or 0
) = range(12)  # fmt: skip


def elementwise(args, chunk, scratch):
    first = chunk * arg(args, ROWS_PER_CHUNK)
    last = min(first + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))
    count, size = arg(args, COUNT), 4 * arg(args, WIDTH)
    stride = size // arg(args, PIXELS)
    out_slot = scratch + 16 * count
    for i in range(REGISTERS):
        _set(out_slot + 16 * (i + 1), scratch + REGISTERS_AT + RUN * i, 64)
    for row in range(first, last):
        out = scratch + ROW_AT
        if arg(args, OUT) != 0:
            out = arg(args, OUT) + row * arg(args, OUT_STRIDE)
        for i in range(count):
            operand = arg(args, OPERANDS) + 8 * OPERAND_WORDS * i
            address = _locate(operand, row)
            if simd.load_i64(operand + 8 * IS_SCALAR) != 0:
                splat = scratch + SPLATS_AT + 64 * i
                simd.store_floats(splat, simd.splat(simd.load_f32(address)))
                _set(scratch + 16 * i, splat, 0)
            else:
                _set(scratch + 16 * i, address, 64)
        for begin in range(0, size, RUN):
            end = min(begin + RUN, size)
            _set(out_slot, out + begin, 64)
            for i in range(arg(args, INSTRUCTIONS)):
                _execute(arg(args, PROGRAM) + 8 * INSTRUCTION_WORDS * i, scratch, end - begin)
            for i in range(count):
                slot = scratch + 16 * i
                step = simd.load_i64(slot + 8)
                _set(slot, simd.load_i64(slot) + step * ((end - begin) // 64), step)
        for pixel in range(out, out + size, stride):  # what follows relies on zeros in the padding
            for at in range(4 * arg(args, SIZE), stride, 4):
                simd.store_f32(pixel + at, simd.float32(0))
        if arg(args, SINK) != 0:
            pixels = arg(args, PIXELS)
            encode_pixels(arg(args, SINK), row * pixels, pixels, out, stride)


@inline
def _set(slot, address, step):
    simd.store_i64(slot, address)
    simd.store_i64(slot + 8, step)


@inline
def _locate(operand, row):
    terms = operand + 8 * (TERMS + 1)
    return simd.load_i64(operand + 8 * ADDRESS) + offset(
        terms, simd.load_i64(operand + 8 * TERMS), row
    )


@inline
def _execute(instruction, slots, size):
    opcode = simd.load_i64(instruction + 8 * OPCODE)
    to = simd.load_i64(slots + 16 * simd.load_i64(instruction + 8 * TO))
    a_slot = slots + 16 * simd.load_i64(instruction + 8 * A)
    b_slot = slots + 16 * simd.load_i64(instruction + 8 * B)
    c_slot = slots + 16 * simd.load_i64(instruction + 8 * C)
    a, a_step = simd.load_i64(a_slot), simd.load_i64(a_slot + 8)
    b, b_step = simd.load_i64(b_slot), simd.load_i64(b_slot + 8)
    c, c_step = simd.load_i64(c_slot), simd.load_i64(c_slot + 8)
    if opcode < FIRST_UNARY:
        _binary(opcode, to, a, a_step, b, b_step, size)
    elif opcode < FIRST_TERNARY:
        _unary(opcode, to, a, a_step, size)
    elif opcode == CLAMP:
        for at in range(0, size, 64):
            value = simd.maximum(simd.load_floats(a), simd.load_floats(b))
            simd.store_floats(to + at, simd.minimum(value, simd.load_floats(c)))
            a += a_step
            b += b_step
            c += c_step
    else:
        for at in range(0, size, 64):
            value = simd.fma(simd.load_floats(a), simd.load_floats(b), simd.load_floats(c))
            simd.store_floats(to + at, value)
            a += a_step
            b += b_step
            c += c_step


CLAMP = OPCODES["clamp"]
ADD, SUB, MUL, DIV, MAX = (OPCODES[name] for name in BINARY[:5])
RELU, SIGMOID, TANH, EXP, SILU, EXACTGELU, TANHGELU, SQRT, NEG, ABS, RECIPROCAL = (
    OPCODES[name] for name in UNARY[:-1]
)


def _pairs(function):
    @inline
    def loop(to, a, a_step, b, b_step, size):
        for at in range(0, size, 64):
            simd.store_floats(to + at, function(simd.load_floats(a), simd.load_floats(b)))
            a += a_step
            b += b_step

    return loop


def _each(function):
    @inline
    def loop(to, a, a_step, size):
        for at in range(0, size, 64):
            simd.store_floats(to + at, function(simd.load_floats(a)))
            a += a_step

    return loop


@inline
def _add(a, b):
    return a + b


@inline
def _sub(a, b):
    return a - b


@inline
def _mul(a, b):
    return a * b


@inline
def _div(a, b):
    return a / b


@inline
def _max(a, b):
    return simd.maximum(a, b)


@inline
def _min(a, b):
    return simd.minimum(a, b)


@inline
def _relu(a):
    return simd.maximum(a, simd.splat(simd.float32(0)))


@inline
def _sqrt(a):
    return simd.roots(a)


@inline
def _neg(a):
    return simd.splat(simd.float32(0)) - a


@inline
def _abs(a):
    return simd.absolute(a)


@inline
def _exp(a):
    return simd.exp(a)


@inline
def _reciprocal(a):
    return simd.splat(simd.float32(1)) / a


@inline
def _copy(a):
    return a


_adds, _subs, _muls, _divs = _pairs(_add), _pairs(_sub), _pairs(_mul), _pairs(_div)
_maxs, _mins = _pairs(_max), _pairs(_min)
_relus, _sigmoids, _tanhs, _exps = _each(_relu), _each(sigmoid), _each(tanh), _each(_exp)
_silus, _exact_gelus, _tanh_gelus = _each(silu), _each(exact_gelu), _each(tanh_gelu)
_sqrts, _negs, _abss, _reciprocals = _each(_sqrt), _each(_neg), _each(_abs), _each(_reciprocal)
_copies = _each(_copy)


@inline
def _binary(opcode, to, a, a_step, b, b_step, size):
    if opcode == ADD:
        _adds(to, a, a_step, b, b_step, size)
    elif opcode == SUB:
        _subs(to, a, a_step, b, b_step, size)
    elif opcode == MUL:
        _muls(to, a, a_step, b, b_step, size)
    elif opcode == DIV:
        _divs(to, a, a_step, b, b_step, size)
    elif opcode == MAX:
        _maxs(to, a, a_step, b, b_step, size)
    else:
        _mins(to, a, a_step, b, b_step, size)


@inline
def _unary(opcode, to, a, a_step, size):
    if opcode == RELU:
        _relus(to, a, a_step, size)
    elif opcode == SIGMOID:
        _sigmoids(to, a, a_step, size)
    elif opcode == TANH:
        _tanhs(to, a, a_step, size)
    elif opcode == EXP:
        _exps(to, a, a_step, size)
    elif opcode == SILU:
        _silus(to, a, a_step, size)
    elif opcode == EXACTGELU:
        _exact_gelus(to, a, a_step, size)
    elif opcode == TANHGELU:
        _tanh_gelus(to, a, a_step, size)
    elif opcode == SQRT:
        _sqrts(to, a, a_step, size)
    elif opcode == NEG:
        _negs(to, a, a_step, size)
    elif opcode == ABS:
        _abss(to, a, a_step, size)
    elif opcode == RECIPROCAL:
        _reciprocals(to, a, a_step, size)
    else:
        _copies(to, a, a_step, size)
