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
from .packed_matrix import FLOATS, Encoding, PackedIntegers, PackedMatrix, Parts, modules, order_of
from .packed_words import unpack, words_for
from .shards import Shards

UNORDERED = -1  # in weight_g_idx, until somebody orders
FORMATS = (
    *("pack-quantized", "int-quantized", "float-quantized", "naive-quantized"),
    *("mixed-precision", "dense"),
)
OF_ACTIVATIONS = (
    *("input_scale", "input_zero_point", "output_scale", "output_zero_point"),
    *("q_scale", "k_scale", "v_scale", "k_zero_point", "v_zero_point"),
)


def _find(settings: dict[str, Any], tensors: Shards) -> dict[str, PackedMatrix]:
    """Raises SourceError (parts do not fit), UnsupportedModel (another layout)."""
    schemes = _schemes(settings)
    _check_formats(settings, schemes, str(tensors.folder))
    scaled: tuple[str, ...] = ("weight_scale",)
    if _all_say(schemes, "symmetric", False):
        scaled += ("weight_zero_point",)
    if _all_say(schemes, "actorder", "group"):
        scaled += ("weight_g_idx",)
    optional = ("weight_zero_point", "weight_g_idx")
    found: dict[str, PackedMatrix] = {}
    for parts in modules(tensors, "weight_packed", (*scaled, "weight_shape"), optional):
        found[f"{parts.module}.weight"] = _packed(parts, schemes)
    for parts in modules(tensors, "weight_scale", scaled[1:], ("weight", *optional)):
        if "weight" in parts:
            found[f"{parts.module}.weight"] = _whole_bytes(parts, schemes)
    return found


COMPRESSED_TENSORS = Encoding(
    _find,
    ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx"),
    OF_ACTIVATIONS,
)


def _schemes(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups of layers whose weights are quantized."""
    groups = settings.get("config_groups")
    schemes = list(groups.values()) if isinstance(groups, dict) else []
    return [s for s in schemes if isinstance(s, dict) and isinstance(s.get("weights"), dict)]


def _all_say(schemes: list[dict[str, Any]], key: str, value: Any) -> bool:
    return bool(schemes) and all(scheme["weights"].get(key) == value for scheme in schemes)


def _check_formats(settings: dict[str, Any], schemes: list[dict[str, Any]], where: str) -> None:
    formats = [settings.get("format"), *(scheme.get("format") for scheme in schemes)]
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


def _packed(parts: Parts, schemes: list[dict[str, Any]]) -> PackedIntegers:
    rows, words = parts.matrix_shape("weight_packed", ("I32",))
    columns = _columns(parts, rows)
    widths = [b for b in range(1, 9) if words_for(columns, b) == words]
    if len(widths) != 1:
        raise parts.error("weight_packed", f"{words} words a row for {columns} columns")
    bits = widths[0]
    group = _group(parts, rows, columns, schemes)
    if "weight_zero_point" in parts:
        parts.check("weight_zero_point", ("I32",), (words_for(rows, bits), columns // group))
    decode = partial(_decode_packed, parts, bits, columns, group)
    return PackedIntegers(parts.all, (rows, columns), decode)


def _columns(parts: Parts, rows: int) -> int:
    """By weight_shape, as the last word of a row may be padded."""
    parts.check("weight_shape", ("I64", "I32"), (2,))
    stated_rows, columns = parts.stored("weight_shape").tolist()
    if stated_rows != rows or not 32 <= columns < 2**31:
        raise parts.error("weight_shape", f"{stated_rows} x {columns} for {rows} rows")
    return int(columns)


def _group(parts: Parts, rows: int, columns: int, schemes: list[dict[str, Any]]) -> int:
    """Columns of a group, by the shape of the scales; one that a scheme knows."""
    group = _group_of_scales(parts, rows, columns)
    stated = [scheme["weights"].get("group_size") for scheme in schemes]
    if stated and all(type(size) is int and 0 < size != group for size in stated):
        raise parts.error("weight_scale", f"groups of {group} columns, expected {stated}")
    return group


def _group_of_scales(parts: Parts, rows: int, columns: int) -> int:
    shape = parts.shape("weight_scale")
    if parts.dtype("weight_scale") not in FLOATS:
        raise parts.error("weight_scale", f"scales of type {parts.dtype('weight_scale')}")
    if shape in ((), (1,), (1, 1), (rows,), (rows, 1)):
        return columns
    if len(shape) != 2 or shape[0] != rows:
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
    if (parts.stored("weight_g_idx") == UNORDERED).all():
        return None
    return order_of(parts, "weight_g_idx", group, columns // group)


def _whole_bytes(parts: Parts, schemes: list[dict[str, Any]]) -> PackedMatrix:
    if parts.dtype("weight") in FLOAT8:
        return float8_matrix(parts, "weight_scale", _block(schemes))
    rows, columns = parts.matrix_shape("weight", ("I8",))
    group = _group(parts, rows, columns, schemes)
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


def _block(schemes: list[dict[str, Any]]) -> Any:
    """[rows, columns] of a block of float8 weights, where a scheme says it."""
    stated = [scheme["weights"].get("block_structure") for scheme in schemes]
    return next((block for block in stated if block), None)
