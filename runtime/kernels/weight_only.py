"""Codes times activations that stay float32: W8A16 and its like, "weight-only" quantization.

    w = step * code + shift     step: a scale, or scale * m
                                shift: -zero * step, or an offset, or offset * n

Weights become what dequantizing makes of them (edge/format/formats.py) in registers, and nothing is
rounded but float sums.  One kernel serves all formats of a kind of codes: where scales are, in which
formats differ, is asked once in 32 columns.
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
RUN = 32
ROW = 2**30  # runs of a block, where a row has one: more than any


def kernel(kind: str) -> Kernel:
    """Matrix product for a kind of codes."""
    return matmul.kernel(partial(_in_planes, kind) if CODES[kind].planes else _dense)


def _chains(tokens):
    return 4 if tokens == 1 else 1  # independent sums: one token alone waits for latency


def _in_planes(kind, tokens):
    codes, count = CODES[kind], tokens * _chains(tokens)
    add_run, numbers = simd.add_floats_run(kind), _numbers(kind)
    run_bytes, has_books = RUN // codes.columns * codes.vectors * LINE, codes.has_codebook

    @inline
    def product(args, w, token):
        x_stride = arg(args, matmul.X_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        group, factored = arg(args, SCALE_COLUMNS), arg(args, FACTOR_COLUMNS)
        has_offset = arg(args, HAS_OFFSET)
        within = _runs_of_block(group, factored, has_offset) - 1  # a mask
        acc, books = simd.zero_floats(count), simd.load_codebooks(w)  # unused by others
        w += LINE * has_books
        lines = factors = w
        for run in range((arg(args, matmul.STEPS) + RUN - 1) // RUN):
            if run & within == 0:  # a block begins with its scales
                lines = w
                w += LINE + LINE * (has_offset and not factored)
            if factored and run % 2 == 0:  # and a piece of 64 columns with its multipliers
                factors = w
                w += LINE
            steps, shifts = numbers(lines, factors, run & within, group, factored, has_offset)
            acc = add_run(acc, w, steps, shifts, (x, x_stride), tokens, books)
            w += run_bytes
            x += 4 * RUN
        return simd.sum_chains(acc, tokens)

    return product


@inline
def _runs_of_block(group, factored, has_offset):
    """Of 32 columns: the scales of a line are two groups', or one's; powers of two."""
    if group == 0:
        return ROW
    if factored:
        return GROUP // RUN if has_offset else 2 * GROUP // RUN
    return 2 * group // RUN if group < GROUP else GROUP // RUN


def _numbers(kind):
    """Steps and shifts of a run's first 16 columns, and of the others."""
    zero = -float(CODES[kind].zero)

    @inline
    def numbers(lines, factors, run, group, factored, has_offset):
        minus_zero = simd.splat(simd.float32(zero))
        scales = lines + TABLE * (group > 0 and RUN * run >= group)
        if factored:
            scale, narrow = simd.load_halves(scales), factored < RUN
            at = factors + run % 2 * (16 + 16 * narrow)
            step, other = scale * simd.load_int8s(at), scale * simd.load_int8s(at + 16 * narrow)
            shift, other_shift = step * minus_zero, other * minus_zero
            if has_offset:
                offset, at = simd.load_halves(lines + TABLE), at + 32 * (1 + narrow)
                shift, other_shift = offset * simd.load_int8s(at), offset * simd.load_int8s(at + 16 * narrow)
        else:
            step = simd.load_floats(lines)
            if 0 < group < GROUP:
                step = simd.load_halves(scales)
            shift = step * minus_zero
            if has_offset:
                shift = simd.load_halves(scales + LINE)
            other, other_shift = step, shift
        return (step, other), (shift, other_shift)

    return numbers


def _dense(tokens):
    count = tokens * _chains(tokens)

    @inline
    def product(args, w, token):
        x_stride = arg(args, matmul.X_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        end = x + 4 * arg(args, matmul.STEPS)  # rows are padded further than activations
        scale = simd.load_floats(w)
        shift = scale * simd.splat(simd.float32(-1.0))
        acc = simd.zero_floats(count)
        w += LINE
        while x < end:  # 96 columns: 4 vectors of nibbles, 1 of high bits
            high = simd.load_bytes(w + 4 * LINE)
            for pair in range(4):
                codes = simd.trits(simd.load_bytes(w), simd.shift_right(high, 2 * pair), 0)
                for part in codes:
                    if x < end:
                        acc = simd.add_floats_bytes(acc, part, scale, shift, (x, x_stride), tokens)
                    x += 16
                w += LINE
            w += LINE
        return simd.sum_chains(acc, tokens)

    return product
