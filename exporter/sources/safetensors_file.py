"""A strict reader of safetensors files: one memory map, every offset checked before use.

Layout: a uint64 header length, a JSON header {name: {dtype, shape, data_offsets}}, the bytes.
The tensors must cover the bytes exactly, without holes or overlaps, as the format demands.
"""

import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import SourceError

from . import float8
from .files import json_object, mapped

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MAX_DIMENSIONS = 16

# BF16 and the 8-bit floats are stored as their bits.
DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("<i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("<u1"),
    "BOOL": np.dtype("?"),
    "F8_E4M3": np.dtype("u1"),
    "F8_E5M2": np.dtype("u1"),
}


@dataclass(frozen=True)
class StoredTensor:
    dtype: str
    shape: tuple[int, ...]
    start: int  # in the file
    nbytes: int


class SafetensorsFile:
    """One file; `tensors` by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map = mapped(path)
        header, data_start = _read_header(path, self._map)
        self.tensors = {
            name: _checked_entry(path, name, entry, data_start)
            for name, entry in header.items()
            if name != "__metadata__"
        }
        _check_cover(path, self.tensors, data_start, len(self._map))

    def stored(self, name: str) -> np.ndarray:
        """The tensor as it is stored (BF16 as uint16), read-only and not copied."""
        tensor = self.tensors[name]
        dtype = DTYPES[tensor.dtype]
        flat = np.frombuffer(self._map, dtype, math.prod(tensor.shape), tensor.start)
        return flat.reshape(tensor.shape)

    def read(self, name: str) -> np.ndarray:
        """float32, a copy."""
        values = self.stored(name)
        if self.tensors[name].dtype == "BF16":
            bits = values.astype(np.uint32)
            bits <<= 16
            return bits.view(np.float32)
        table = float8.VALUES.get(self.tensors[name].dtype)
        if table is not None:
            return np.take(table, values)
        return values.astype(np.float32)


def _read_header(path: Path, data: mmap.mmap) -> tuple[dict[str, Any], int]:
    """(header, where the tensors' bytes begin)."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise SourceError(
            f"{path}: not a safetensors file: a header of {size} bytes in a file of {len(data)}"
        )
    text = data[8 : 8 + size].decode(errors="replace")
    return json_object(text, f"{path}: the header"), 8 + size


def _checked_entry(path: Path, name: str, entry: Any, data_start: int) -> StoredTensor:
    where = f"{path}: tensor {name!r:.200}"
    if not isinstance(entry, dict):
        raise SourceError(f"{where}: its entry is not a JSON object")
    dtype = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise SourceError(f"{where}: unknown type {dtype!r:.60}")
    shape = _sizes(entry, "shape", range(MAX_DIMENSIONS + 1), where)
    begin, end = _sizes(entry, "data_offsets", range(2, 3), where)
    if end - begin != math.prod(shape) * DTYPES[dtype].itemsize:
        raise SourceError(f"{where}: {end - begin} bytes for {dtype} of shape {shape!r:.60}")
    return StoredTensor(dtype, shape, data_start + begin, end - begin)


def _sizes(entry: dict[str, Any], key: str, counts: range, where: str) -> tuple[int, ...]:
    """A list of whole numbers, as many as one of `counts`."""
    value = entry.get(key)
    if not isinstance(value, list) or len(value) not in counts:
        raise SourceError(f"{where}: {key}: {value!r:.60}")
    if not all(type(n) is int and 0 <= n < 2**63 for n in value):
        raise SourceError(f"{where}: {key}: {value!r:.60}")
    return tuple(value)


def _check_cover(
    path: Path, tensors: dict[str, StoredTensor], data_start: int, file_size: int
) -> None:
    end = data_start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].nbytes)):
        if tensor.start != end:
            raise SourceError(
                f"{path}: tensor {name!r:.200} starts at byte {tensor.start}, expected {end}"
            )
        end = tensor.start + tensor.nbytes
    if end != file_size:
        raise SourceError(
            f"{path}: the tensors end at byte {end}, the file has {file_size} (truncated?)"
        )
