"""Read memory as fast as a product reads its weights: the yardstick for achieved GB/s."""

from . import simd
from .matmul import arg

BYTES, CHUNK_BYTES, SUMS = range(3)  # addresses of float32 data and of a float32 line a chunk
LINES = 8  # independent sums: adding must not be what takes the time
TURN_BYTES = 64 * LINES


def read(args, chunk, scratch):
    """SUMS[chunk] = the chunk's floats added up, so that no load is superfluous."""
    size = arg(args, CHUNK_BYTES)
    at = arg(args, BYTES) + chunk * size
    sums = simd.zero_floats(LINES)
    for _ in range(size // TURN_BYTES):
        sums = simd.add_rows(sums, at, 64)
        at += TURN_BYTES
    out = arg(args, SUMS) + 64 * chunk
    simd.store_floats(out, simd.splat(simd.float32(0)))
    for i in range(LINES):
        simd.store_floats(out, simd.load_floats(out) + sums[i])
