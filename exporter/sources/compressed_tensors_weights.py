"""compressed-tensors checkpoints (llm-compressor, vLLM): packed integers, int8, float8.

weight_packed  int32 [rows, columns * bits / 32], the stream of packed_words.py along each row, of
               codes + 2^(bits - 1); beside weight_shape, which says the matrix's own shape
weight         int8 or float8 [rows, columns], where nothing is packed
weight_scale   float [1], [rows, 1] or [rows, groups]; of float8 also [row blocks, column blocks]
weight_zero_point  as weight_scale, int8; packed like the weight, but down the rows
weight_g_idx   int32 [columns], the group of each column (activation ordering)

Source: compressed_tensors/compressors/pack_quantized and naive_quantized.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from edge.errors import UnsupportedModel

from .float8_weights import TYPES as FLOAT8
from .float8_weights import float8_matrix
from .integer_matrix import IntegerMatrix, signed_bytes
from .packed_matrix import Encoding, PackedIntegers, PackedMatrix, Parts, modules, order_of
from .packed_words import unpack, words_for
from .shards import Shards

FORMATS = (
    *("pack-quantized", "int-quantized", "float-quantized", "naive-quantized"),
    *("mixed-precision", "dense"),
)
FLOATS = ("F16", "BF16", "F32")
OF_ACTIVATIONS = (
    *("input_scale", "input_zero_point", "output_scale", "output_zero_point"),
    *("q_scale", "k_scale", "v_scale", "k_zero_point", "v_zero_point"),
)


def _find(settings: dict[str, Any], tensors: Shards) -> dict[str, PackedMatrix]:
    """Raises SourceError (parts do not fit), UnsupportedModel (another layout)."""
    _check_formats(settings, str(tensors.folder))
    found: dict[str, PackedMatrix] = {}
    needed, optional = ("weight_scale", "weight_shape"), ("weight_zero_point", "weight_g_idx")
    for parts in modules(tensors, "weight_packed", needed, optional):
        found[f"{parts.module}.weight"] = _packed(parts)
    for parts in modules(tensors, "weight_scale", (), ("weight", *optional)):
        if "weight" in parts:
            found[f"{parts.module}.weight"] = _whole_bytes(parts, _block(settings))
    return found


COMPRESSED_TENSORS = Encoding(
    _find,
    ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx"),
    OF_ACTIVATIONS,
)


def _check_formats(settings: dict[str, Any], where: str) -> None:
    groups = settings.get("config_groups")
    groups = list(groups.values()) if isinstance(groups, dict) else []
    formats = [settings.get("format"), *(g.get("format") for g in groups if isinstance(g, dict))]
    sparsity = settings.get("sparsity_config")
    formats.append(sparsity.get("format") if isinstance(sparsity, dict) else None)
    for name in formats:
        if name is not None and name not in FORMATS:
            raise UnsupportedModel(
                f"{where}: compressed-tensors in the format {name!r:.60}; edge reads "
                f"{', '.join(FORMATS)}"
            )
    transforms = settings.get("transform_config")
    if isinstance(transforms, dict) and transforms.get("config_groups"):
        raise UnsupportedModel(f"{where}: compressed-tensors with rotations at run time")


def _packed(parts: Parts) -> PackedIntegers:
    rows, words = parts.matrix_shape("weight_packed", ("I32",))
    columns = _columns(parts, rows)
    widths = [b for b in range(1, 9) if words_for(columns, b) == words]
    if len(widths) != 1:
        raise parts.error("weight_packed", f"{words} words a row for {columns} columns")
    bits = widths[0]
    group = _group(parts, rows, columns)
    if "weight_zero_point" in parts:
        shape = (words_for(rows, bits), parts.shape("weight_scale")[-1])
        parts.check("weight_zero_point", ("I32",), shape)
    decode = partial(_decode_packed, parts, bits, columns, group)
    return PackedIntegers(parts.all, (rows, columns), decode)


def _columns(parts: Parts, rows: int) -> int:
    """By weight_shape, as the last word of a row may be padded."""
    parts.check("weight_shape", ("I64", "I32"), (2,))
    stated_rows, columns = parts.stored("weight_shape").tolist()
    if stated_rows != rows or not 32 <= columns < 2**31:
        raise parts.error("weight_shape", f"{stated_rows} x {columns} for {rows} rows")
    return int(columns)


def _group(parts: Parts, rows: int, columns: int) -> int:
    """Columns of a group, by the shape of the scales."""
    shape = parts.shape("weight_scale")
    if shape in ((), (1,), (1, 1), (rows,), (rows, 1)):
        return columns
    if parts.dtype("weight_scale") not in FLOATS or len(shape) != 2 or shape[0] != rows:
        raise parts.error("weight_scale", f"shape {list(shape)} for {rows} rows")
    if not shape[1] or columns % shape[1]:
        raise parts.error("weight_scale", f"{shape[1]} groups for {columns} columns")
    return columns // shape[1]


def _decode_packed(parts: Parts, bits: int, columns: int, group: int) -> IntegerMatrix:
    words = parts.stored("weight_packed")
    scales = _scales(parts, len(words), columns // group)
    zeros = np.full(scales.shape, 1 << bits - 1, np.int16)
    if "weight_zero_point" in parts:
        points = parts.stored("weight_zero_point").T
        zeros = np.ascontiguousarray(unpack(points, bits, len(words)).T).astype(np.int16)
    order = _order(parts, columns, group)
    return IntegerMatrix(bits, unpack(words, bits, columns), zeros, scales, group, order)


def _scales(parts: Parts, rows: int, groups: int) -> np.ndarray:
    """float32 [rows, groups], also of one for all."""
    scales = parts.read("weight_scale")
    return np.ascontiguousarray(np.broadcast_to(scales.reshape(-1, groups), (rows, groups)))


def _order(parts: Parts, columns: int, group: int) -> np.ndarray | None:
    """The group of each column where they are scattered."""
    if "weight_g_idx" not in parts:
        return None
    parts.check("weight_g_idx", ("I32", "I64"), (columns,))
    return order_of(parts, "weight_g_idx", group, columns // group)


def _whole_bytes(parts: Parts, block: Any) -> PackedMatrix:
    if parts.dtype("weight") in FLOAT8:
        return float8_matrix(parts, "weight_scale", block)
    rows, columns = parts.matrix_shape("weight", ("I8", *FLOAT8))
    group = _group(parts, rows, columns)
    if "weight_zero_point" in parts:
        parts.check("weight_zero_point", ("I8",), parts.shape("weight_scale"))
    return PackedIntegers(parts.all, (rows, columns), partial(_decode_bytes, parts, group))


def _decode_bytes(parts: Parts, group: int) -> IntegerMatrix:
    codes = parts.stored("weight")
    groups = codes.shape[1] // group
    scales = _scales(parts, len(codes), groups)
    zeros = np.zeros(scales.shape, np.int16)
    if "weight_zero_point" in parts:
        zeros += parts.stored("weight_zero_point").reshape(-1, groups)
    order = _order(parts, codes.shape[1], group)
    return replace(signed_bytes(codes, zeros, scales, group), order=order)


def _block(settings: dict[str, Any]) -> Any:
    """[rows, columns] of a block of float8 weights, where the settings say it."""
    groups = settings.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict) and weights.get("block_structure"):
            return weights["block_structure"]
    return None
