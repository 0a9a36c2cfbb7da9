"""Blocks of the KV cache, written and read: the layouts that runtime/kv_cache.py describes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..kv_cache import POSITIONS
from .memory import view

GROUP = 32  # dims that share a scale and an offset in an int4 cache
KEYS, VALUES = 0, 1


@dataclass(frozen=True)
class Blocks:
    """Blocks `first` and on of heads that lie `head_bytes` apart; `address` is head 0, block 0."""

    address: int
    heads: int
    head_bytes: int
    block_bytes: int
    dim: int
    first: int
    count: int

    def part(self, offset: int, kind: str, *shape: int) -> np.ndarray:
        """[heads, blocks, *shape]: what lies `offset` bytes behind the start of each block."""
        address = self.address + self.first * self.block_bytes + offset
        outer = (self.head_bytes, self.block_bytes)
        return view(address, (self.heads, self.count, *shape), kind, outer)

    def places(self, position: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Block and slot of `count` positions from `position`."""
        block, slot = np.divmod(np.arange(position, position + count), POSITIONS)
        return block - self.first, slot

    def keys(self, kind: str) -> np.ndarray:
        """[heads, blocks, dim, slots]"""
        return self.part(0, kind, self.dim, POSITIONS)

    def values(self, kind: str) -> np.ndarray:
        """[heads, blocks, dim / 16, slots, 16]"""
        behind_keys = POSITIONS * self.dim * np.dtype(kind).itemsize
        return self.part(behind_keys, kind, self.dim // 16, POSITIONS, 16)

    def scales(self) -> np.ndarray:
        """Of an int8 cache: [heads, blocks, keys or values, slots]"""
        return self.part(2 * POSITIONS * self.dim, "<f2", 2, POSITIONS)

    def nibbles(self) -> tuple[np.ndarray, np.ndarray]:
        """Keys [heads, blocks, groups, 16, slots] and values [heads, blocks, groups, slots, 16]"""
        groups = self.dim // GROUP
        return (
            self.part(0, "u1", groups, 16, POSITIONS),
            self.part(POSITIONS // 2 * self.dim, "u1", groups, POSITIONS, 16),
        )

    def ranges(self) -> np.ndarray:
        """Of an int4 cache: [heads, blocks, keys or values, scale or offset, groups, slots]"""
        return self.part(POSITIONS * self.dim, "<f2", 2, 2, self.dim // GROUP, POSITIONS)


# An index array before a slice and one behind it: tokens become the first axis.


def _keep_floats(kind: str, b: Blocks, position: int, k: np.ndarray, v: np.ndarray) -> None:
    block, slot = b.places(position, len(k))
    b.keys(kind)[:, block, :, slot] = k
    b.values(kind)[:, block, :, slot] = v.reshape(*v.shape[:2], -1, 16)


def _keep_int8(kind: str, b: Blocks, position: int, k: np.ndarray, v: np.ndarray) -> None:
    block, slot = b.places(position, len(k))
    (k, k_scale), (v, v_scale) = _bytes(k), _bytes(v)
    _keep_floats(kind, b, position, k, v)
    b.scales()[:, block, KEYS, slot] = k_scale.T
    b.scales()[:, block, VALUES, slot] = v_scale.T


def _keep_int4(kind: str, b: Blocks, position: int, k: np.ndarray, v: np.ndarray) -> None:
    block, slot = b.places(position, len(k))
    ranges, (keys, values) = b.ranges(), b.nibbles()
    keys[:, block, :, :, slot], k_range = _nibbles(k)
    values[:, block, :, slot], v_range = _nibbles(v)
    for i in range(2):
        ranges[:, block, KEYS, i, :, slot] = k_range[i]
        ranges[:, block, VALUES, i, :, slot] = v_range[i]


def _bytes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes like x [tokens, heads, dim], float16 scales [tokens, heads]: max / 127."""
    scale = (np.abs(x).max(axis=2, keepdims=True) / np.float32(127)).astype(np.float16)
    codes = np.rint(x * _inverse(scale)).clip(-127, 127).astype(np.int8)
    return codes, scale[:, :, 0]


def _nibbles(x: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Two codes a byte, [tokens, heads, groups, 16]; float16 range / 15 and minimum of a group."""
    groups = x.reshape(*x.shape[:2], -1, GROUP)
    low = groups.min(axis=3, keepdims=True).astype(np.float16)
    high = groups.max(axis=3, keepdims=True)
    scale = ((high - low.astype(np.float32)) / np.float32(15)).astype(np.float16)
    codes = np.rint((groups - low.astype(np.float32)) * _inverse(scale))
    codes = codes.clip(0, 15).astype(np.uint8)
    packed = codes[..., :16] | codes[..., 16:] << 4
    return packed, (scale[..., 0], low[..., 0])


def _inverse(scale: np.ndarray) -> np.ndarray:
    """float32 1 / scale, 0 for 0."""
    wide = scale.astype(np.float32)
    return np.where(wide > 0, np.float32(1) / wide, np.float32(0))


def _read_floats(kind: str, b: Blocks) -> tuple[np.ndarray, np.ndarray]:
    k, v = _by_position(b.keys(kind), 3), _by_position(b.values(kind), 3)
    return k.astype(np.float32), v.astype(np.float32)


def _read_int8(kind: str, b: Blocks) -> tuple[np.ndarray, np.ndarray]:
    k, v = _read_floats(kind, b)
    scales = _by_position(b.scales(), 3).astype(np.float32)
    return k * scales[:, [KEYS]], v * scales[:, [VALUES]]


def _read_int4(kind: str, b: Blocks) -> tuple[np.ndarray, np.ndarray]:
    ranges = _by_position(b.ranges(), 5).astype(np.float32)
    ranges = ranges.reshape(len(ranges), 2, 2, -1, 1)
    keys, values = b.nibbles()
    codes = _by_position(keys, 4), _by_position(values, 3)
    k, v = (_widened(part) * ranges[:, i, 0] + ranges[:, i, 1] for i, part in enumerate(codes))
    return k.reshape(len(k), -1), v.reshape(len(v), -1)


def _widened(packed: np.ndarray) -> np.ndarray:
    """float32 [positions, groups, 32] of bytes [positions, 16 * groups]"""
    packed = packed.reshape(len(packed), -1, 16)
    return np.concatenate([packed & 15, packed >> 4], axis=2).astype(np.float32)


def _by_position(parts: np.ndarray, axis: int) -> np.ndarray:
    """[positions, elements] of head 0, whose slots are this axis"""
    positions = parts.shape[1] * POSITIONS
    result: np.ndarray = np.moveaxis(parts[0], axis - 1, 1).reshape(positions, -1)
    return result


_Keep = Callable[[str, Blocks, int, np.ndarray, np.ndarray], None]
_Read = Callable[[str, Blocks], tuple[np.ndarray, np.ndarray]]
_KINDS: dict[str, tuple[str, _Keep, _Read]] = {
    "float32": ("<f4", _keep_floats, _read_floats),
    "float16": ("<f2", _keep_floats, _read_floats),
    "int8": ("i1", _keep_int8, _read_int8),
    "int4": ("u1", _keep_int4, _read_int4),
}


def keep(kind: str, blocks: Blocks, position: int, k: np.ndarray, v: np.ndarray) -> None:
    """Store keys and values, float32 [tokens, heads, dim], from this position on."""
    element, store, _ = _KINDS[kind]
    store(element, blocks, position, k, v)


def read(kind: str, blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values of head 0: float32 [positions of all blocks, dim]."""
    element, _, load = _KINDS[kind]
    return load(element, blocks)
