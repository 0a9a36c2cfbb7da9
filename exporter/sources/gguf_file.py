"""The GGUF container: metadata, tensor table and the tensors' bytes, all checked before use.

Layout (little-endian), as in ggml/docs/gguf.md:

    "GGUF"  uint32 version  uint64 tensors  uint64 keys
    keys:     string name, uint32 type, value
    tensors:  string name, uint32 dimensions, uint64 each (fastest first), uint32 type, uint64 offset
    padding to general.alignment, then the data that the offsets count from

Strings are a uint64 length and UTF-8 bytes. No size in the file is believed before it has been
compared with the bytes that are left, so that a hostile file costs no more memory than its size.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import SourceError, UnsupportedModel

from .files import mapped
from .gguf_blocks import BlockType, block_type

MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
MAX_NAME_BYTES = 1024
MAX_ALIGNMENT = 1 << 16

SCALARS: dict[int, np.dtype[Any]] = {
    0: np.dtype("<u1"),
    1: np.dtype("<i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    7: np.dtype("?"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
FLOAT32, STRING, ARRAY = 6, 8, 9

Value = int | float | bool | str | list[str] | np.ndarray


@dataclass(frozen=True)
class GgufTensor:
    """Where a tensor lies: `shape` has the slowest dimension first, as in NumPy."""

    name: str
    shape: tuple[int, ...]
    type: BlockType
    start: int
    nbytes: int


class GgufFile:
    """A GGUF file, memory-mapped; `metadata` and `tensors` are read and checked once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map = mapped(path)
        cursor = _Cursor(path, self._map)
        tensor_count, key_count = _read_counts(cursor)
        self.metadata = _read_metadata(cursor, key_count)
        _refuse_parts(path, self.metadata)
        self.tensors = _read_tensors(cursor, tensor_count, self._alignment())

    def bytes_of(self, tensor: GgufTensor) -> np.ndarray:
        """The tensor's bytes, read-only and not copied."""
        return np.frombuffer(self._map, np.uint8, tensor.nbytes, tensor.start)

    def _alignment(self) -> int:
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= MAX_ALIGNMENT:
            raise SourceError(
                f"{self.path}: general.alignment: expected 1..{MAX_ALIGNMENT}, found {alignment!r:.60}"
            )
        return alignment


class _Cursor:
    """A position in the file; every read is checked against the file's end."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.at = 0

    def error(self, what: str) -> SourceError:
        return SourceError(f"{self.path}: at byte {self.at}: {what}")

    def left(self) -> int:
        return len(self.data) - self.at

    def skip(self, size: int, what: str) -> int:
        """Pass over `size` bytes; the position where they start."""
        if size > self.left():
            raise self.error(f"{what} needs {size} bytes, the file has {self.left()} left")
        start = self.at
        self.at += size
        return start

    def unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        size = struct.calcsize(layout)
        return struct.unpack_from(layout, self.data, self.skip(size, what))

    def string(self, what: str, most: int | None = None) -> str:
        (size,) = self.unpack("<Q", f"the length of {what}")
        if most is not None and size > most:
            raise self.error(f"{what}: expected at most {most} bytes, found {size}")
        start = self.skip(size, what)
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError:
            raise self.error(f"{what} is not UTF-8") from None


def _read_counts(cursor: _Cursor) -> tuple[int, int]:
    """(tensors, keys), after magic and version."""
    magic, version = cursor.unpack("<4sI", "the header")
    if magic != b"GGUF":
        raise cursor.error(f"not a GGUF file: expected magic b'GGUF', found {magic!r}")
    if version & 0xFFFF == 0:
        raise UnsupportedModel(f"{cursor.path}: a big-endian GGUF file; edge reads little-endian")
    if version not in (2, 3):
        raise UnsupportedModel(f"{cursor.path}: GGUF version {version}; edge reads 2 and 3")
    tensors, keys = cursor.unpack("<QQ", "the header")
    # The shortest key is 8 + 4 + 1 bytes, the shortest tensor entry 8 + 4 + 8 + 4 + 8.
    if keys * 13 + tensors * 32 > cursor.left():
        raise cursor.error(
            f"{keys} keys and {tensors} tensors cannot fit in the {cursor.left()} bytes left"
        )
    return tensors, keys


def _read_metadata(cursor: _Cursor, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    for _ in range(count):
        key = cursor.string("a key's name", MAX_NAME_BYTES)
        if key in metadata:
            raise cursor.error(f"key {key!r} appears twice")
        (kind,) = cursor.unpack("<I", f"the type of {key!r}")
        metadata[key] = _read_value(cursor, key, kind)
    return metadata


def _read_value(cursor: _Cursor, key: str, kind: int) -> Value:
    if kind == STRING:
        return cursor.string(f"the value of {key!r}")
    if kind == ARRAY:
        return _read_array(cursor, key)
    number = _read_numbers(cursor, key, kind, 1)[0]
    if kind == FLOAT32:  # as the shortest decimal, 1e-05 and not 9.999999747378752e-06
        return float(str(number))
    value: Value = number.item()
    return value


def _read_array(cursor: _Cursor, key: str) -> Value:
    kind, count = cursor.unpack("<IQ", f"the array {key!r}")
    if kind == ARRAY:
        raise cursor.error(f"{key!r} is an array of arrays, which GGUF models do not use")
    if kind != STRING:
        return _read_numbers(cursor, key, kind, count)
    if count * 8 > cursor.left():  # each string has at least its length
        raise cursor.error(f"{key!r}: {count} strings in the {cursor.left()} bytes left")
    return [cursor.string(f"a string of {key!r}") for _ in range(count)]


def _read_numbers(cursor: _Cursor, key: str, kind: int, count: int) -> np.ndarray:
    if kind not in SCALARS:
        raise cursor.error(f"{key!r} has the unknown value type {kind}")
    dtype = SCALARS[kind]
    start = cursor.skip(count * dtype.itemsize, f"the value of {key!r}")
    return np.frombuffer(cursor.data, dtype, count, start)


def _refuse_parts(path: Path, metadata: dict[str, Value]) -> None:
    parts = metadata.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise UnsupportedModel(
            f"{path}: one of {parts} parts of a model; join them with llama-gguf-split --merge"
        )


def _read_tensors(cursor: _Cursor, count: int, alignment: int) -> dict[str, GgufTensor]:
    entries = [_read_tensor_entry(cursor, alignment) for _ in range(count)]
    data_start = -(-cursor.at // alignment) * alignment
    tensors: dict[str, GgufTensor] = {}
    for name, shape, type_, offset in entries:
        if name in tensors:
            raise SourceError(f"{cursor.path}: tensor {name!r} appears twice")
        nbytes = _checked_nbytes(cursor.path, name, shape, type_)
        tensors[name] = GgufTensor(name, shape, type_, data_start + offset, nbytes)
    _check_places(cursor.path, list(tensors.values()), len(cursor.data))
    return tensors


def _read_tensor_entry(
    cursor: _Cursor, alignment: int
) -> tuple[str, tuple[int, ...], BlockType, int]:
    name = cursor.string("a tensor's name", MAX_NAME_BYTES)
    (dimensions,) = cursor.unpack("<I", f"tensor {name!r}")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise cursor.error(
            f"tensor {name!r}: expected 1..{MAX_DIMENSIONS} dimensions, found {dimensions}"
        )
    shape = cursor.unpack(f"<{dimensions}Q", f"the shape of tensor {name!r}")[::-1]
    kind, offset = cursor.unpack("<IQ", f"tensor {name!r}")
    if offset % alignment:
        raise cursor.error(f"tensor {name!r}: offset {offset} is not a multiple of {alignment}")
    return name, shape, block_type(kind, f"{cursor.path}: tensor {name!r}"), offset


def _checked_nbytes(path: Path, name: str, shape: tuple[int, ...], type_: BlockType) -> int:
    if 0 in shape:
        raise SourceError(f"{path}: tensor {name!r} of shape {shape} has no elements")
    if shape[-1] % type_.columns:
        raise SourceError(
            f"{path}: tensor {name!r}: rows of {shape[-1]} elements are not whole blocks of "
            f"{type_.columns} ({type_.name})"
        )
    return math.prod(shape) // type_.columns * type_.nbytes + type_.trailer


def _check_places(path: Path, tensors: list[GgufTensor], file_size: int) -> None:
    """Every tensor lies inside the file and on no other tensor."""
    end, previous = 0, ""
    for tensor in sorted(tensors, key=lambda t: t.start):
        if tensor.start < end:
            raise SourceError(f"{path}: tensors {previous!r} and {tensor.name!r} overlap")
        end, previous = tensor.start + tensor.nbytes, tensor.name
        if end > file_size:
            raise SourceError(
                f"{path}: tensor {tensor.name!r} ends at byte {end}, the file has {file_size} "
                "(truncated?)"
            )
