"""Keys and values of the tokens so far, allocated once for the whole context.

A block holds 16 positions of one head, keys then values:

    float16  K [dim][16 positions], V [dim / 16][16 positions][16 dims]
    float32  the same, twice as wide: the reference mode
    int8     the same in bytes, then float16 scales: K [16 positions], V [16 positions]
    int4     nibbles, groups of 32 dims; a byte has dims i and i + 16 of its group:
             K [group][16][16 positions], V [group][16 positions][16], then float16 K scales,
             K offsets, V scales, V offsets, each [group][16 positions]; w = scale * code + offset

so that scores of 16 positions, and 16 elements of an output, come from whole vectors.
"""

import mmap
from dataclasses import dataclass

import numpy as np

from edge.errors import UnsupportedModel
from edge.format.config import DecoderConfig

POSITIONS = 16  # in a block
KINDS = ("float16", "int8", "int4", "float32")


def block_bytes(kind: str, head_dim: int) -> int:
    """Bytes of 16 positions of one head, keys and values."""
    if kind == "float32":
        return 128 * head_dim
    if kind == "float16":
        return 64 * head_dim
    if kind == "int8":
        return 32 * head_dim + 64
    return 16 * head_dim + head_dim // 32 * 128


@dataclass(frozen=True)
class CacheShape:
    """Sizes of a cache: [layer][head][block of 16 positions]."""

    kind: str
    layers: int
    heads: int
    context: int
    block_bytes: int

    @property
    def head_bytes(self) -> int:
        return -(-self.context // POSITIONS) * self.block_bytes

    @property
    def layer_bytes(self) -> int:
        return self.heads * self.head_bytes

    @property
    def nbytes(self) -> int:
        return self.layers * self.layer_bytes


def cache_shape(config: DecoderConfig, kind: str, context: int) -> CacheShape:
    """Raises UnsupportedModel if the model's heads cannot be kept as `kind`."""
    if kind not in KINDS:
        raise UnsupportedModel(f"no KV cache of kind {kind!r}; choose from {', '.join(KINDS)}")
    if kind == "int4" and (config.head_dim % 32 or config.head_dim > 1024):
        raise UnsupportedModel(
            f"an int4 KV cache needs heads of a multiple of 32, this model has {config.head_dim}; "
            "use --kv int8"
        )
    size = block_bytes(kind, config.head_dim)
    return CacheShape(kind, config.layers, config.kv_heads, context, size)


class KvCache:
    """The cache's memory.  Pages are touched as positions are written.

    Not from NumPy, which asks for huge pages: every head's first position would map 2 MB.
    """

    def __init__(self, shape: CacheShape):
        self.shape = shape
        self._memory = np.frombuffer(mmap.mmap(-1, max(shape.nbytes, 1)), np.uint8)

    def layer(self, index: int) -> int:
        """Address of a layer's first block."""
        return int(self._memory.ctypes.data) + index * self.shape.layer_bytes

    def save(self, positions: int) -> bytes:
        """The blocks that hold the first `positions`."""
        blocks = -(-positions // POSITIONS) * self.shape.block_bytes
        heads = self._memory.reshape(self.shape.layers * self.shape.heads, -1)
        return heads[:, :blocks].tobytes()

    def load(self, state: bytes, positions: int) -> None:
        """Put back what `save` gave.  Raises ValueError if the size does not match."""
        blocks = -(-positions // POSITIONS) * self.shape.block_bytes
        heads = self._memory.reshape(self.shape.layers * self.shape.heads, -1)
        if len(state) != len(heads) * blocks:
            raise ValueError(f"{len(state)} bytes of cache, expected {len(heads) * blocks}")
        heads[:, :blocks] = np.frombuffer(state, np.uint8).reshape(len(heads), blocks)
