"""Where the tests' model files are, and how tiny ones are made."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from edge.exporter.sources.gguf_blocks import BLOCK_TYPES, I2_S, BlockMatrix

Tensors = Mapping[str, tuple[np.ndarray, str]]  # name: (values or the bytes of rows, type)

# Where a block keeps its float16 numbers, so that random bytes do not make infinities.
HALVES = {
    "F16": (0,),
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
}


@pytest.fixture
def write_gguf(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GGUF file: write(architecture, keys, tensors); keys override a tiny model's."""

    def write(architecture: str, keys: Mapping[str, Any], tensors: Tensors) -> Path:
        path = tmp_path / "model.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        for key, value in (_tiny_keys(architecture) | keys).items():
            _add_key(writer, key.replace("{arch}", architecture), value)
        for name, (data, kind) in tensors.items():
            raw = None if kind == "F32" else gguf.GGMLQuantizationType[kind]
            writer.add_tensor(name, np.ascontiguousarray(data), raw_dtype=raw)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


def _tiny_keys(architecture: str) -> dict[str, Any]:
    shape = {
        "block_count": 1,
        "context_length": 128,
        "embedding_length": 64,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    return {f"{{arch}}.{name}": value for name, value in shape.items()}


def _add_key(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """None leaves a key out; ints are uint32, floats float32, as converters write them."""
    if value is None:
        return
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


@pytest.fixture
def random_blocks() -> Callable[..., np.ndarray]:
    """uint8 [rows, bytes of a row] of a type with finite scales: random_blocks(type, rows, columns)."""

    def make(name: str, rows: int, columns: int) -> np.ndarray:
        rng = np.random.default_rng(0)
        type_ = BLOCK_TYPES[int(gguf.GGMLQuantizationType[name])]
        blocks = rng.integers(0, 256, (rows, columns // type_.columns, type_.nbytes), np.uint8)
        for at in HALVES.get(name, ()):
            scales = rng.normal(0, 0.1, (*blocks.shape[:2], 1)).astype(np.float16)
            blocks[:, :, at : at + 2] = scales.view(np.uint8)
        if name == "TQ2_0":  # only three of the four codes mean something
            codes = rng.integers(0, 3, (*blocks.shape[:2], 64, 4), np.uint8)
            blocks[:, :, :64] = (codes << np.array([0, 2, 4, 6], np.uint8)).sum(-1, dtype=np.uint8)
        return blocks.reshape(rows, -1)

    return make


@pytest.fixture
def block_matrix() -> Callable[..., BlockMatrix]:
    """Rows of blocks as a matrix: block_matrix(type, rows, columns, order)."""

    def make(
        name: str, rows: np.ndarray, columns: int, order: np.ndarray | None = None
    ) -> BlockMatrix:
        type_ = BLOCK_TYPES[int(gguf.GGMLQuantizationType[name])]
        return BlockMatrix(type_, columns, rows, rows.reshape(-1)[:0], "test", order)

    return make


@pytest.fixture
def i2s_matrix() -> Callable[[np.ndarray, float], BlockMatrix]:
    """Codes as bitnet.cpp's quantize_i2_s packs them: 128 in 32 bytes; a scale after the last."""

    def make(codes: np.ndarray, scale: float) -> BlockMatrix:
        runs = codes.reshape(-1, 4, 32)
        packed = runs[:, 0] << 6 | runs[:, 1] << 4 | runs[:, 2] << 2 | runs[:, 3]
        trailer = np.array([scale] + [0] * 7, np.float32).view(np.uint8)
        rows = packed.reshape(len(codes), -1)
        return BlockMatrix(BLOCK_TYPES[I2_S], codes.shape[1], rows, trailer, "test")

    return make


@pytest.fixture
def write_safetensors() -> Callable[..., None]:
    """Writes a safetensors file: write(path, {name: (dtype, array)}); BF16 comes as uint16."""

    def write(path: Path, tensors: Mapping[str, tuple[str, np.ndarray]]) -> None:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        data = b""
        for name, (dtype, values) in tensors.items():
            offsets = [len(data), len(data) + values.nbytes]
            header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": offsets}
            data += values.tobytes()
        encoded = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)

    return write
