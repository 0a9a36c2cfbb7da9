"""The key-value cache in memory: blocks of 16 positions for one head.

    float16  K [dim][16 positions], V [dim / 16][16 positions][16 dims]
    int8     the same in bytes, then float16 scales: K [16 positions], V [16 positions]
    int4     K nibbles [group][16][16 positions]: dims i and i + 16 of the 32 of a group in a byte,
             V nibbles [group][16 positions][16]: likewise; then float16 K scales, K offsets,
             V scales, V offsets, each [group][16 positions]; w = scale * code + offset

So scores of 16 positions, and 16 elements of an output, come from whole vectors.  Formulas here
are plain integers: used by the kernels and by whoever allocates the cache.
"""

POSITIONS = 16
KINDS = ("float16", "int8", "int4")


def block_bytes(kind: str, head_dim: int) -> int:
    """Bytes of 16 positions of one head, keys and values."""
    if kind == "float16":
        return 64 * head_dim
    if kind == "int8":
        return 32 * head_dim + 64
    return 16 * head_dim + head_dim // 32 * 128
