"""GPTQ checkpoints of AutoGPTQ and GPTQModel: qweight, qzeros, scales, g_idx.

qweight  int32 [columns * bits / 32, rows], the stream of packed_words.py down the columns of W
qzeros   int32 [groups, rows * bits / 32], along the rows; format "gptq" holds zero - 1, "gptq_v2"
         the zero itself
scales   float [groups, rows]
g_idx    int32 [columns], the group of each column (desc_act scatters them)

Source: GPTQModel, nn_modules/qlinear/__init__.py (pack_block) and utils/model.py (v1 and v2).
"""

from functools import partial
from typing import Any

import numpy as np

from edge.errors import SourceError, UnsupportedModel

from .integer_matrix import IntegerMatrix
from .packed_matrix import FLOATS, Encoding, PackedIntegers, PackedMatrix, Parts, modules, order_of
from .packed_words import unpack
from .shards import Shards

BITS = (2, 3, 4, 8)
FORMATS = {"gptq": True, "gptq_v2": False}  # whether zeros are stored less 1


def _find(settings: dict[str, Any], tensors: Shards) -> dict[str, PackedMatrix]:
    """Raises SourceError (parts do not fit), UnsupportedModel (another layout)."""
    layout = str(settings.get("checkpoint_format") or settings.get("format") or "gptq")
    words = settings.get("pack_dtype", "int32")
    if layout not in FORMATS or words != "int32" or settings.get("is_marlin_format"):
        raise UnsupportedModel(
            f"{tensors.folder}: GPTQ weights in the layout {layout!r:.40} of {words!r:.40}; edge "
            f"reads {', '.join(FORMATS)} of int32 (GPTQModel writes them on request)"
        )
    found = modules(tensors, "qweight", ("qzeros", "scales"), ("g_idx",))
    return {f"{p.module}.weight": _matrix(p, settings, FORMATS[layout]) for p in found}


GPTQ = Encoding(_find, partners=("qweight", "qzeros", "scales", "g_idx"))


def _matrix(parts: Parts, settings: dict[str, Any], less_one: bool) -> PackedIntegers:
    words, rows = parts.matrix_shape("qweight", ("I32",))
    if settings.get("desc_act") and "g_idx" not in parts:
        raise parts.error("qweight", "needs g_idx beside it, as config.json says desc_act")
    groups, _ = parts.matrix_shape("scales", FLOATS)
    bits, columns = _bits_and_columns(parts, settings, words)
    parts.check("scales", FLOATS, (groups, rows))
    parts.check("qzeros", ("I32",), (groups, rows * bits // 32))
    group = _group(parts, settings, columns, groups)
    decode = partial(_decode, parts, bits, columns, group, less_one)
    return PackedIntegers(parts.all, (rows, columns), decode)


def _bits_and_columns(parts: Parts, settings: dict[str, Any], words: int) -> tuple[int, int]:
    """By g_idx where there is one: `dynamic` gives some modules other bits than the rest."""
    bits: Any = settings.get("bits")
    if "g_idx" in parts:
        columns = parts.tensors.entry(f"{parts.module}.g_idx").shape[0]
        parts.check("g_idx", ("I32", "I64"), (columns,))
        said, bits = bits, 32 * words // columns if columns else 0
        if 32 * words != bits * columns or (said != bits and not settings.get("dynamic")):
            raise parts.error("qweight", f"{words} words a row for {columns} columns")
    if type(bits) is not int or bits not in BITS:
        raise SourceError(
            f"{parts.tensors.where(parts.all[0])}: GPTQ weights of {bits!r:.40} bits; edge reads "
            f"{', '.join(map(str, BITS))}"
        )
    if words % bits and 32 % bits:
        raise parts.error("qweight", f"{words} words a row are no whole number of {bits}-bit codes")
    return bits, 32 * words // bits


def _group(parts: Parts, settings: dict[str, Any], columns: int, groups: int) -> int:
    if columns % groups == 0:
        return columns // groups
    group = settings.get("group_size")
    if type(group) is not int or group < 1 or -(-columns // group) != groups:
        raise parts.error("scales", f"{groups} groups for {columns} columns")
    return group


def _decode(parts: Parts, bits: int, columns: int, group: int, less_one: bool) -> IntegerMatrix:
    groups, rows = parts.shape("scales")
    return IntegerMatrix(
        bits=bits,
        codes=unpack(parts.stored("qweight").T, bits, columns),
        zeros=np.ascontiguousarray(_zeros(parts.stored("qzeros"), bits, rows, less_one).T),
        scales=np.ascontiguousarray(parts.read("scales").T),
        group=group,
        order=order_of(parts, "g_idx", group, groups) if "g_idx" in parts else None,
    )


def _zeros(words: np.ndarray, bits: int, rows: int, less_one: bool) -> np.ndarray:
    """int16 [groups, rows].

    GPTQModel takes 1 from whole words, so that a zero point of 0 borrows from its neighbour, and
    the sum must carry; of 3 bits, whose fields straddle words, it takes 1 from each field.
    """
    words = words.view(np.uint32)
    if less_one and bits != 3:
        words = words + np.uint32(sum(1 << at for at in range(0, 32, bits)))
    zeros = unpack(words, bits, rows).astype(np.int16)
    return zeros + 1 & 7 if less_one and bits == 3 else zeros
