"""Vector types and intrinsics: the only package that knows instruction sets.

A weight tile is 16 rows high, so every vector here has 16 lanes, one a row:

    Bytes    64 x uint8    16 rows x 4 neighbouring columns (or packed codes of them)
    Ints     16 x int32    one integer sum a row
    Floats   16 x float32  one value a row (or 16 neighbouring elements of a vector)

LLVM splits a vector into as many registers as the target needs: one on AVX-512, two on AVX2,
four on NEON.  Only the integer dot products, because their lane order is part of the tile
layout, and the look-ups of dense trits and codebooks (triples.py, codebooks.py: vpshufb, tbl)
name an instruction; it is chosen by the `isa` of the target being compiled for:

    avx512vnni, avxvnni   vpdpbusd
    avx2                  vpmaddubsw, vpmaddwd
    i8mm                  usmmla, usdot (ARMv8.6)
    dotprod               sdot (ARMv8.2)
    neon                  smull, smlal, addp, sadalp (ARMv8.0)
    plain                 widening multiplies that any target has

Functions that take `sums` or `acc` work on a tuple of vectors, one a token of the block.
Addresses are int64 and byte offsets; nothing here checks them.
"""

from numba import float32, int32, int64

from .blocks import (
    add_outer,
    add_products,
    add_rows,
    add_rows_times,
    add_scaled,
    clamp_rows,
    few_registers,
    first_half,
    max_rows,
    scale_rows,
    second_half,
    splat_rows,
    store_rows,
    zero_floats,
)
from .codebooks import load_codebooks
from .outer import add_columns
from .products import (
    dot16_small,
    int8_starts,
    load_bytes,
    shift_right,
    small_starts,
)
from .runs import (
    add_code4_run,
    add_int2_shifted_halves,
    add_int3_halves,
    add_int4_run,
    add_int4_shifted_run,
    add_int5_run,
    add_int5_shifted_run,
    add_int6_halves,
    add_int8_run,
    dot16_int8,
    dot64_crumbs,
    dot64_int8,
)
from .threads import (
    call0,
    call_futex,
    call_kernel,
    compare_and_swap,
    fetch_add,
    load_acquire,
    pause,
    store_release,
)
from .triples import trits
from .vectors import (
    absolute,
    exp,
    fma,
    load_f16,
    load_f32,
    load_floats,
    load_halves,
    load_high_nibbles,
    load_i32,
    load_i64,
    load_int8s,
    load_low_nibbles,
    load_u8,
    load_u16,
    max_lanes,
    maximum,
    minimum,
    normal_tail,
    prefetch,
    rint,
    roots,
    round_to_int,
    splat,
    sqrt,
    store_f16,
    store_f32,
    store_floats,
    store_halves,
    store_i32,
    store_i64,
    store_int8s,
    store_u8,
    sum_int_lanes,
    sum_lanes,
    to_floats,
)
from .widening import add_floats_bytes, add_floats_run, sum_chains

__all__ = [
    "absolute",
    "add_code4_run",
    "add_columns",
    "add_floats_bytes",
    "add_floats_run",
    "add_int2_shifted_halves",
    "add_int3_halves",
    "add_int4_run",
    "add_int4_shifted_run",
    "add_int5_run",
    "add_int5_shifted_run",
    "add_int6_halves",
    "add_int8_run",
    "add_outer",
    "add_products",
    "add_rows",
    "add_rows_times",
    "add_scaled",
    "call0",
    "call_futex",
    "call_kernel",
    "clamp_rows",
    "compare_and_swap",
    "dot16_int8",
    "dot16_small",
    "dot64_crumbs",
    "dot64_int8",
    "exp",
    "fetch_add",
    "few_registers",
    "first_half",
    "float32",
    "fma",
    "int8_starts",
    "int32",
    "int64",
    "load_acquire",
    "load_bytes",
    "load_codebooks",
    "load_f16",
    "load_f32",
    "load_floats",
    "load_halves",
    "load_high_nibbles",
    "load_i32",
    "load_i64",
    "load_int8s",
    "load_low_nibbles",
    "load_u8",
    "load_u16",
    "max_lanes",
    "max_rows",
    "maximum",
    "minimum",
    "normal_tail",
    "pause",
    "prefetch",
    "rint",
    "roots",
    "round_to_int",
    "scale_rows",
    "second_half",
    "shift_right",
    "small_starts",
    "splat",
    "splat_rows",
    "sqrt",
    "store_f16",
    "store_f32",
    "store_floats",
    "store_halves",
    "store_i32",
    "store_i64",
    "store_int8s",
    "store_release",
    "store_rows",
    "store_u8",
    "sum_chains",
    "sum_int_lanes",
    "sum_lanes",
    "to_floats",
    "trits",
    "zero_floats",
]
