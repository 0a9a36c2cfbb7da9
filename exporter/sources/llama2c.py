"""llama2.c checkpoints as a source: TinyStories models in float32 and ternary BitLlama."""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import SourceError
from edge.format.formats import QuantizedTensor, WeightFormat

from . import Generation, TokenizerFiles
from .files import mapped, sha256
from .llama2c_layout import TERNARY_HEADER_BYTES, Place, hugging_face_config, places, read_header
from .llama2c_tokenizer import tokenizer_files
from .rope_pairs import half_split_order

CODES = np.array([1, 2, 255, 0], np.uint8)  # bits 00, 01, (10), 11 as the codes of `ternary`


class Llama2cSource:
    """A llama2.c file, memory-mapped, with tok<vocabulary>.bin or tokenizer.bin beside it."""

    norms_are_folded = False
    grids_are_exact = True
    reorders = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.generation = Generation()
        self._map = mapped(self.path)
        self._header = read_header(self.path, self._map[:TERNARY_HEADER_BYTES])
        self._places = places(self._header, self.path, len(self._map))
        self.config: dict[str, Any] = hugging_face_config(self._header)

    def digest(self) -> str:
        return sha256(self.path)

    def names(self) -> Iterable[str]:
        return list(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._place(name).shape

    def stored_type(self, name: str) -> str:
        return "ternary" if self._place(name).ternary else "F32"

    def read(self, name: str) -> np.ndarray:
        place = self._place(name)
        kept = self.kept(name)
        if kept is not None:
            return kept.dequantize()
        if place.start is None:
            return np.full(place.shape, place.constant, np.float32)
        values = np.frombuffer(self._map, "<f4", place.nbytes // 4, place.start)
        return self._half_split(name, values.reshape(place.shape)).astype(np.float32)

    def kept(self, name: str) -> QuantizedTensor | None:
        place = self._place(name)
        if not place.ternary or place.start is None:
            return None
        rows, columns = place.shape
        (scale,) = struct.unpack_from("<f", self._map, place.start)
        packed = np.frombuffer(self._map, np.uint8, place.nbytes - 4, place.start + 4)
        bits = packed[:, None] >> np.array([6, 4, 2, 0], np.uint8) & 3
        codes = CODES[bits.reshape(-1)[: rows * columns]].reshape(rows, columns)
        if codes.max() > 2:
            raise SourceError(
                f"{self.path}: {name}: holds the code 10 (binary), which has no meaning"
            )
        codes = self._half_split(name, codes)
        return QuantizedTensor(
            WeightFormat("ternary"), codes, np.full((rows, 1), scale, np.float32)
        )

    def tokenizer(self) -> TokenizerFiles | None:
        name = f"tok{self._header.vocabulary}.bin"
        folder = self.path.parent
        for path in (folder / name, folder / "tokenizer.bin", folder.parent / "stories260K" / name):
            if path.is_file():
                return tokenizer_files(path, self._header.vocabulary)
        return None

    def _place(self, name: str) -> Place:
        try:
            return self._places[name]
        except KeyError:
            raise SourceError(f"{self.path}: no tensor for {name!r}") from None

    def _half_split(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Queries and keys lie in RoPE's adjacent pairs; everything else is as it should be."""
        heads = 0
        if ".q_proj." in name:
            heads = self._header.heads
        if ".k_proj." in name:
            heads = self._header.kv_heads
        if not heads:
            return rows
        order = half_split_order(len(rows), heads, f"{self.path}: {name}")
        return np.take(rows, order, axis=0)
