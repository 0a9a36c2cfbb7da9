"""GGUF files (llama.cpp) as a source: Hugging Face's names and order, blocks kept as they are."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import SourceError
from edge.format.formats import QuantizedTensor

from . import Generation, TokenizerFiles
from .files import sha256
from .gguf_blocks import BlockMatrix
from .gguf_config import hugging_face_config
from .gguf_file import GgufFile, GgufTensor
from .gguf_grids import kept_grid
from .gguf_names import hugging_face_name
from .gguf_tokenizer import generation_of, tokenizer_files
from .rope_pairs import half_split_order

ADJACENT_PAIRS = "llama"  # the architecture whose query and key rows GGUF reorders


class GgufSource:
    """A model in one GGUF file, memory-mapped; a tensor is converted when it is asked for."""

    norms_are_folded = True  # converters store 1 + weight for Gemma's norms
    grids_are_exact = True
    reorders = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self._file = GgufFile(self.path)
        self.config: dict[str, Any] = hugging_face_config(
            self._file, tied="output.weight" not in self._file.tensors
        )
        self._tensors = self._renamed()
        self.generation: Generation = generation_of(self._file.metadata)

    def digest(self) -> str:
        return sha256(self.path)

    def names(self) -> Iterable[str]:
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensor(name).shape

    def stored_type(self, name: str) -> str:
        return self._tensor(name).type.name

    def read(self, name: str) -> np.ndarray:
        """float32; the peak is the result, and a chunk of rows of it, twice."""
        tensor = self._tensor(name)
        return self._matrix(name, tensor).values().reshape(tensor.shape)

    def kept(self, name: str) -> QuantizedTensor | None:
        tensor = self._tensor(name)
        return kept_grid(self._matrix(name, tensor)) if len(tensor.shape) == 2 else None

    def tokenizer(self) -> TokenizerFiles | None:
        return tokenizer_files(self._file.metadata, str(self.path))

    def _tensor(self, name: str) -> GgufTensor:
        try:
            return self._tensors[name]
        except KeyError:
            raise SourceError(f"{self.path}: no tensor for {name!r}") from None

    def _renamed(self) -> dict[str, GgufTensor]:
        renamed = {}
        for tensor in self._file.tensors.values():
            name = hugging_face_name(tensor.name, self.config["model_type"], str(self.path))
            if name is not None:
                renamed[name] = tensor
        return renamed

    def _matrix(self, name: str, tensor: GgufTensor) -> BlockMatrix:
        """The tensor as rows of blocks; a bias of reordered rows has rows of one element."""
        data = self._file.bytes_of(tensor)
        where = f"{self.path}: tensor {tensor.name!r}"
        heads = self._heads_in_pairs(name)
        columns = tensor.shape[-1]
        if heads and len(tensor.shape) == 1 and tensor.type.columns == 1:
            columns = 1
        size = data.size - tensor.type.trailer
        rows = data[:size].reshape(-1, tensor.type.row_bytes(columns))
        order = half_split_order(len(rows), heads, where) if heads else None
        return BlockMatrix(tensor.type, columns, rows, data[size:], where, order)

    def _heads_in_pairs(self, name: str) -> int:
        """How many heads' rows the file has in RoPE's adjacent pairs; 0 for none."""
        if self._file.metadata["general.architecture"] != ADJACENT_PAIRS:
            return 0
        if ".self_attn.q_proj." in name:
            return int(self.config["num_attention_heads"])
        if ".self_attn.k_proj." in name:
            return int(self.config["num_key_value_heads"])
        return 0
