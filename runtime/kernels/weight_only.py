"""Codes times activations that stay float32: W8A16 and its like, "weight-only" quantization.

    w = step * code + shift     step: a scale, or scale * m
                                shift: -zero * step, or an offset, or offset * n

Weights become what dequantizing makes of them (edge/format/formats.py) in registers, and nothing is
rounded but float sums.  One kernel serves all formats of a kind of codes: where scales are, in which
formats differ, is asked once in 16 columns.
"""

from functools import partial

from edge.format.formats import CODES, GROUP

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg

# Arguments, in the places of what integer products want of activations; STEPS are columns.
SCALE_COLUMNS = matmul.X_SCALES  # that share a scale; 0: a row
FACTOR_COLUMNS = matmul.X_STARTS  # that share a multiplier; 0: there are none
HAS_OFFSET = matmul.X_GROUPS_STRIDE

LINE, TABLE = 64, 32  # bytes of a line; of 16 float16
RUN, PIECE = 16, 4  # columns of a run; runs of a piece, which has a line of multipliers
ROW = 2**30  # runs of a block, where a row has one: more than any


def kernel(kind: str) -> Kernel:
    """Matrix product for a kind of codes."""
    return matmul.kernel(partial(_in_planes, kind) if CODES[kind].planes else _dense)


def _chains(tokens):
    return 4 if tokens == 1 else 1  # independent sums: one token alone waits for latency


def _in_planes(kind, tokens):
    codes, count = CODES[kind], tokens * _chains(tokens)
    add_run, numbers = simd.add_floats_run(kind), _numbers(kind)
    unit = max(codes.columns, RUN)
    has_halves, unit_bytes = unit > RUN, unit // codes.columns * codes.vectors * LINE
    has_books = codes.has_codebook

    @inline
    def product(args, w, token):
        x_stride = arg(args, matmul.X_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        group, factored = arg(args, SCALE_COLUMNS), arg(args, FACTOR_COLUMNS)
        has_offset = arg(args, HAS_OFFSET)
        within = _runs_of_block(group, factored, has_offset) - 1  # a mask
        acc, books = simd.zero_floats(count), simd.load_codebooks(w)  # of others: not used
        w += LINE * has_books
        lines = factors = w
        for run in range((arg(args, matmul.STEPS) + RUN - 1) // RUN):
            if run & within == 0:  # a block begins with its scales
                lines = w
                w += LINE + LINE * (has_offset and not factored)
            if factored and run % PIECE == 0:
                factors = w
                w += LINE
            own = numbers(lines, factors, run & within, group, factored, has_offset)
            if tokens == 1:
                matmul.fetch_ahead(w, unit_bytes)
            if has_halves and run % 2:
                acc = add_run(acc, w, 1, own, (x, x_stride), tokens, books)
            else:
                acc = add_run(acc, w, 0, own, (x, x_stride), tokens, books)
            w += unit_bytes * (run % 2 or not has_halves)
            x += 4 * RUN
        return simd.sum_chains(acc, tokens)

    return product


@inline
def _runs_of_block(group, factored, has_offset):
    """The scales of a line are two groups', or one's; a power of two."""
    if group == 0:
        return ROW
    two = group < GROUP or (factored and not has_offset)
    return group // RUN * (1 + two)


_FACTORS = {  # of scales, of offsets, and bytes from ones to the others, by their bits
    8: (simd.load_int8s, simd.load_int8s, LINE // 2),
    4: (simd.load_low_nibbles, simd.load_high_nibbles, 0),
}


def _numbers(kind):
    """Step and shift of a run; `run` counts from its block."""
    zero = -float(CODES[kind].zero)
    factor, offset_factor, between = _FACTORS[CODES[kind].multiplier_bits]

    @inline
    def numbers(lines, factors, run, group, factored, has_offset):
        table = lines + TABLE * (group > 0 and RUN * run >= group)
        if factored:
            at = factors + 16 * (run % PIECE >> (factored > RUN))
            step = simd.load_halves(table) * factor(at)
        elif 0 < group < GROUP:
            step = simd.load_halves(table)
        else:
            step = simd.load_floats(lines)
        shift = step * simd.splat(simd.float32(zero))
        if has_offset and factored:
            shift = simd.load_halves(lines + TABLE) * offset_factor(at + between)
        elif has_offset:
            shift = simd.load_halves(table + LINE)
        return step, shift

    return numbers


def _dense(tokens):
    count = tokens * _chains(tokens)

    @inline
    def product(args, w, token):
        x_stride = arg(args, matmul.X_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        end = x + 4 * arg(args, matmul.STEPS)  # rows are padded further than activations
        scale = simd.load_floats(w)
        numbers = scale, scale * simd.splat(simd.float32(-1.0))
        acc = simd.zero_floats(count)
        w += LINE
        while x < end:  # 96 columns: 4 vectors of nibbles, 1 of high bits
            if tokens == 1:
                matmul.fetch_ahead(w, 5 * LINE)
            high = simd.load_bytes(w + 4 * LINE)
            for pair in range(4):
                for codes in simd.trits(simd.load_bytes(w), simd.shift_right(high, 2 * pair), 0):
                    if x < end:
                        acc = simd.add_floats_bytes(acc, codes, numbers, (x, x_stride), tokens)
                    x += 16
                w += LINE
            w += LINE
        return simd.sum_chains(acc, tokens)

    return product
