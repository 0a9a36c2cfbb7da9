"""The loops around a tile product: out[token, row] = W x + bias + residual.

A chunk is a run of 16-row tiles, computed for all tokens of the step.  A weight format brings
`product(tokens)`, an inline function that multiplies one tile with a block of tokens; the
blocks are of MANY, 4 and 1 tokens, so one function serves prefill and decode.
"""

from . import simd
from .compiler import Kernel, inline

MANY = 8  # tokens of a prefill block
AHEAD = 4096  # bytes that one token fetches ahead: at its pace the CPU by itself looks less far

# Arguments, as positions in the op's row of int64.
(
    FIRST, COUNT,  # addresses of: first token, end token
    TILES, TILES_PER_CHUNK,
    WEIGHT, TILE_BYTES, STEPS,  # STEPS: what `product` counts, blocks or column vectors
    X, X_STRIDE,  # activations: int8 codes or float32
    X_SCALES, X_STARTS, X_GROUPS_STRIDE,  # float32 scale, int32 start (or float32 moment)
    OUT, OUT_STRIDE,
    BIAS, RESIDUAL,  # addresses or 0; the residual has OUT's layout
) = range(16)  # fmt: skip


@inline
def arg(args, index):
    return simd.load_i64(args + 8 * index)


@inline
def fetch_ahead(w, count):
    """Of weights that one token reads, `count` bytes at a time."""
    for line in range(0, count, 64):
        simd.prefetch(w + AHEAD + line)


def kernel(product) -> Kernel:
    """The C function for a weight format's tile product."""
    one, four, many = (_tiles(product(tokens), tokens) for tokens in (1, 4, MANY))

    def matmul(args, chunk, scratch):
        first = simd.load_i64(arg(args, FIRST))
        end = simd.load_i64(arg(args, COUNT))
        tile = chunk * arg(args, TILES_PER_CHUNK)
        last = min(tile + arg(args, TILES_PER_CHUNK), arg(args, TILES))
        token = first
        while token + MANY <= end:
            many(args, tile, last, token, token - first)
            token += MANY
        while token + 4 <= end:
            four(args, tile, last, token, token - first)
            token += 4
        while token < end:
            one(args, tile, last, token, token - first)
            token += 1

    return matmul


def _tiles(product, tokens):
    """Tiles first..last-1 for the `tokens` tokens from `token`, stored from row `out_token`."""

    @inline
    def tiles(args, first, last, token, out_token):
        tile_bytes, stride = arg(args, TILE_BYTES), arg(args, OUT_STRIDE)
        w = arg(args, WEIGHT) + first * tile_bytes
        bias, residual = arg(args, BIAS), arg(args, RESIDUAL)
        out = out_token * stride
        for tile in range(first, last):
            acc = product(args, w, token)
            at = 64 * tile
            if bias != 0:
                acc = simd.add_rows(acc, bias + at, 0)
            if residual != 0:
                acc = simd.add_rows(acc, residual + out + at, stride)
            simd.store_rows(acc, arg(args, OUT) + out + at, stride)
            w += tile_bytes

    return tiles
