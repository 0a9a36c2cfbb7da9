"""A small whole model as an .edge file, and its pieces to break it with."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.format import spec
from edge.format.config import DecoderConfig, Rope
from edge.format.formats import CODEBOOK_ROWS, CODES, FLOATS, QuantizedTensor, WeightFormat
from edge.format.spec import weight_format
from edge.format.writer import EdgeWriter

HIDDEN, FEED_FORWARD, VOCABULARY = 32, 48, 40
TEMPLATE = b"{% for m in messages %}{{ m.content }}{% endfor %}"
CONFIG = DecoderConfig(
    architecture="test",
    layers=1,
    hidden=HIDDEN,
    heads=2,
    kv_heads=1,
    head_dim=16,
    feed_forward=FEED_FORWARD,
    vocabulary=VOCABULARY,
    context=64,
    norm_epsilon=1e-5,
    attention_scale=0.25,
    ropes=(Rope(base=10000.0, dims=16),),
    layer_rope=(0,),
    layer_window=(0,),
    tied_embedding=True,
)
DOCUMENT = {
    "kind": "decoder",
    "config": CONFIG,
    "recipe": "a format a matrix",
    "source": {"name": "small", "sha256": "0" * 64},
    "parameters": 10240,
    "tokenizer": {"bos": 1, "eos": [2], "add_bos": True},
    "generation": {"temperature": 0.5},
}
LAYER = "layers.0."
TENSORS: dict[str, tuple[str, tuple[int, ...]]] = {  # name: format, shape; a format a matrix
    "chat_template.jinja": ("bytes", (len(TEMPLATE),)),
    "embedding.weight": ("int8", (VOCABULARY, HIDDEN)),
    LAYER + "attention.query.weight": ("int4-g32-offset", (32, HIDDEN)),
    LAYER + "attention.key.weight": ("int4-g32", (16, HIDDEN)),
    LAYER + "attention.value.weight": ("int6-g256", (16, HIDDEN)),
    LAYER + "attention.output.weight": ("int4-g256-offset", (HIDDEN, 32)),
    LAYER + "feed_forward.gate.weight": ("ternary-dense", (FEED_FORWARD, HIDDEN)),
    LAYER + "feed_forward.up.weight": ("float16", (FEED_FORWARD, HIDDEN)),
    LAYER + "feed_forward.down.weight": ("float32", (HIDDEN, FEED_FORWARD)),
    LAYER + "attention_norm.weight": ("vector", (HIDDEN,)),
    LAYER + "feed_forward_norm.weight": ("vector", (HIDDEN,)),
    "output_norm.weight": ("vector", (HIDDEN,)),
}


def quantized(form: WeightFormat, rows: int, columns: int, seed: int = 0) -> QuantizedTensor:
    """Random codes, scales and offsets that the format stores exactly."""
    rng = np.random.default_rng(seed)
    groups = -(-columns // form.group) if form.group else 1

    def random(low: float, high: float) -> np.ndarray:
        values = rng.integers(round(low * 1024), round(high * 1024), (rows, groups))
        return (values / 1024).astype(np.float32)

    codes = rng.integers(0, CODES[form.kind].levels, (rows, columns), np.uint8)
    scales = random(0.01, 0.05)
    offsets = random(-0.2, 0.2) if form.offset else None
    factors, books = multipliers(form, rows, columns, rng), codebooks(form, rows, rng)
    return QuantizedTensor(form, codes, scales, offsets, *factors, codebooks=books)


def multipliers(
    form: WeightFormat, rows: int, columns: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Random ones of scales, and of offsets, as far as the format has them."""
    count = (1 + form.offset) * (form.multiplier_columns > 0)
    values, shape = form.multiplier_values, (rows, form.runs(columns))
    return [rng.integers(values.start, values.stop, shape, np.int8) for _ in range(count)]


def codebooks(form: WeightFormat, rows: int, rng: np.random.Generator) -> np.ndarray | None:
    """Random ones, if the format has any."""
    if not form.has_codebook:
        return None
    return rng.integers(-128, 128, (-(-rows // CODEBOOK_ROWS), 16), np.int8)


def indices(name: str, tensors: dict[str, tuple[str, tuple[int, ...]]]) -> np.ndarray:
    """Of an addend: as many as there are, all over the matrix; of an order: one at random."""
    stem, _, part = name.rpartition(".")
    count = tensors[name][1][0]
    rows, columns = tensors[f"{stem}.weight"][1]
    if part == "in_order":
        return np.random.default_rng(count).permutation(count)
    if part == "outlier_columns":
        return np.arange(count) * columns // count
    if part == "sparse_entries":
        halves = np.full(count, -0.5, "<f2").view("<u2").astype(np.uint32) << 16
        return (halves | np.arange(count - 1, -1, -1) % columns).astype("<u4").view("<i4")
    entries = tensors[f"{stem}.sparse_entries"][1][0]
    return np.minimum(np.arange(count), rows) * entries // rows


def with_addends(
    tensors: dict[str, tuple[str, tuple[int, ...]]], name: str, count: int = 3
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """And all that may ride beside the matrix `name`, of `count` columns, entries and ranks."""
    rows, columns = tensors[f"{name}.weight"][1]
    count = min(count, rows, columns)
    beside: dict[str, tuple[str, tuple[int, ...]]] = {
        "sparse_rows": ("indices", (-(-rows // 16) * 16 + 1,)),
        "sparse_entries": ("indices", (count,)),
        "low_rank_left": ("float16", (rows, count)),
        "low_rank_right": ("float16", (count, columns)),
    }
    if tensors[f"{name}.weight"][0] not in FLOATS:
        beside |= {
            "outlier_columns": ("indices", (count,)),
            "outlier_weight": ("float16", (rows, count)),
        }
    return tensors | {f"{name}.{part}": info for part, info in beside.items()}


def with_order(
    tensors: dict[str, tuple[str, tuple[int, ...]]], name: str
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """And the order in which the matrix `name` reads its input, unless it is of floats."""
    form, (_, columns) = tensors[f"{name}.weight"]
    if form in FLOATS:
        return tensors
    return tensors | {f"{name}.in_order": ("indices", (columns,))}


def floats(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """float32 that float16 holds exactly."""
    codes = np.random.default_rng(seed).integers(-128, 128, (rows, columns))
    return (codes / 512).astype(np.float32)


def write(
    path: str | Path,
    document: dict[str, Any] | None = None,
    tensors: dict[str, tuple[str, tuple[int, ...]]] = TENSORS,
    contents: dict[str, Any] | None = None,
    activations: dict[str, str] | None = None,
) -> None:
    """The small model, or another with these tensors; the same bytes on every machine.

    `contents` are indices that are not what they should be, `activations` schemes of matrices.
    """
    with EdgeWriter(path, tensors=len(tensors)) as writer:
        writer.document = DOCUMENT | (document or {})
        for seed, (name, (form, shape)) in enumerate(tensors.items()):
            if form == "bytes":
                writer.add_bytes(name, TEMPLATE.ljust(shape[0])[: shape[0]])
            elif form == "vector":
                writer.add_vector(name, np.linspace(0.5, 1.5, *shape))
            elif form == "indices":
                writer.add_indices(name, (contents or {}).get(name, indices(name, tensors)))
            elif form in FLOATS:
                writer.add_float_matrix(name, floats(*shape, seed), form, error=0.0)
            else:
                tensor = quantized(weight_format(form), *shape, seed)
                writer.add_matrix(name, tensor, 0.5, (activations or {}).get(name))


@dataclass
class Pieces:
    """A file taken apart; `bytes()` puts it together with a header no longer than it must be."""

    header: dict[str, Any]  # without __metadata__
    document: dict[str, Any]
    data: bytes

    @classmethod
    def of(cls, path: Path) -> "Pieces":
        raw = path.read_bytes()
        start = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:start])
        document = json.loads(header.pop("__metadata__")["edge"])
        return cls(header, document, raw[start:])

    def copy(self) -> "Pieces":
        header, document = json.loads(json.dumps([self.header, self.document]))
        return replace(self, header=header, document=document)

    def header_text(self) -> str:
        metadata = {"__metadata__": {"edge": json.dumps(self.document)}}
        return json.dumps(metadata | self.header)

    def bytes(self) -> bytes:
        return framed(self.header_text().encode(), self.data)


def one_tensor(form: str, shape: list[int], size: int, data: bytes = b"") -> Pieces:
    """A file with a tensor "w" and no other."""
    kind, stored = spec.container(form, tuple(shape))
    header = {"w": {"dtype": kind, "shape": stored, "data_offsets": [0, size]}}
    settings = {"config": asdict(CONFIG)}
    document = json.loads(json.dumps(DOCUMENT | settings))
    declared = {"w": {"format": form, "shape": shape, "sha256": "0" * 64, "error": None}}
    return Pieces(header, document | {"version": 1, "layout": 3, "tensors": declared}, data)


def framed(header: bytes, data: bytes) -> bytes:
    """Length, header padded so that the data starts on 64 bytes, data."""
    room = -(-(8 + len(header)) // 64) * 64 - 8
    return room.to_bytes(8, "little") + header.ljust(room) + data
