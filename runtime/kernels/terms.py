"""Where row number r of a value lies: sums of (r // divisor % modulus) * stride, in bytes."""

from . import simd
from .compiler import inline


@inline
def offset(terms, count, number):
    """`terms`: address of (divisor, modulus, stride), int64, one after the other; a modulus of 0 is
    none."""
    total = 0
    for i in range(count):
        term = terms + 24 * i
        divisor, modulus = simd.load_i64(term), simd.load_i64(term + 8)
        index = number if divisor == 1 else number // divisor
        total += (index if modulus == 0 else index % modulus) * simd.load_i64(term + 16)
    return total
