"""AutoAWQ checkpoints: 4-bit qweight, qzeros, scales, in the layouts "gemm" and "gemv".

gemm  qweight int32 [columns, rows / 8], qzeros int32 [groups, rows / 8], scales [groups, rows]; the
      nibbles of a word, lowest first, are rows 0, 2, 4, 6, 1, 3, 5, 7 of eight
gemv  qweight int32 [rows, columns / 8], qzeros int32 [rows, n], scales [rows, 8 n], in order; n is
      rounded up, so that the last groups may be padding

Source: AutoAWQ, awq/modules/linear/gemm.py and gemv.py.
"""

from functools import partial
from typing import Any

import numpy as np

from edge.errors import UnsupportedModel

from .integer_matrix import IntegerMatrix
from .packed_matrix import FLOATS, Encoding, PackedIntegers, PackedMatrix, Parts, modules
from .packed_words import unpack
from .shards import Shards

BITS = 4
NIBBLE_OF_ROW = (0, 4, 1, 5, 2, 6, 3, 7)


def _find(settings: dict[str, Any], tensors: Shards) -> dict[str, PackedMatrix]:
    """Raises SourceError (parts do not fit), UnsupportedModel (another layout)."""
    said = settings.get("version") or settings.get("checkpoint_format") or settings.get("format")
    layout = str(said or "gemm").lower()
    bits = settings.get("bits", settings.get("w_bit", BITS))
    if layout not in LAYOUTS or bits != BITS or settings.get("backend") == "llm-awq":
        raise UnsupportedModel(
            f"{tensors.folder}: AWQ weights of {bits!r:.40} bits in the layout {layout!r:.40}; "
            f"edge reads {BITS} bits in AutoAWQ's {' or '.join(LAYOUTS)}"
        )
    group = settings.get("group_size", settings.get("q_group_size"))
    found = modules(tensors, "qweight", ("qzeros", "scales"))
    return {f"{p.module}.weight": LAYOUTS[layout](p, group) for p in found}


AWQ = Encoding(_find, partners=("qweight", "qzeros", "scales"))


def _gemm(parts: Parts, group: Any) -> PackedIntegers:
    columns, words = parts.matrix_shape("qweight", ("I32",))
    groups, rows = parts.matrix_shape("scales", FLOATS)
    parts.check("qzeros", ("I32",), (groups, words))
    if rows != 8 * words or columns % groups:
        raise parts.error("scales", f"{groups} groups of {rows} rows for {columns} columns")
    return PackedIntegers(parts.all, (rows, columns), partial(_decode_gemm, parts))


def _decode_gemm(parts: Parts) -> IntegerMatrix:
    columns, groups = parts.shape("qweight")[0], parts.shape("scales")[0]
    return IntegerMatrix(
        bits=BITS,
        codes=np.ascontiguousarray(_in_order(parts.stored("qweight")).T),
        zeros=np.ascontiguousarray(_in_order(parts.stored("qzeros")).T).astype(np.int16),
        scales=np.ascontiguousarray(parts.read("scales").T),
        group=columns // groups,
    )


def _in_order(words: np.ndarray) -> np.ndarray:
    """int32 [n, rows / 8] -> uint8 [n, rows]."""
    nibbles = unpack(words, BITS, 8 * words.shape[1])
    eights = nibbles.reshape(len(nibbles), -1, 8)
    return eights[:, :, NIBBLE_OF_ROW].reshape(len(nibbles), -1)


def _gemv(parts: Parts, group: Any) -> PackedIntegers:
    rows, words = parts.matrix_shape("qweight", ("I32",))
    columns = 8 * words
    _, padded = parts.matrix_shape("scales", FLOATS)
    parts.check("qzeros", ("I32",), (rows, padded // 8))
    parts.check("scales", FLOATS, (rows, padded))
    group = columns if group == -1 else group
    if type(group) is not int or group < 1 or columns % group or columns // group > padded:
        raise parts.error("scales", f"{padded} groups of {group!r:.40} for {columns} columns")
    return PackedIntegers(parts.all, (rows, columns), partial(_decode_gemv, parts, group))


def _decode_gemv(parts: Parts, group: int) -> IntegerMatrix:
    columns = 8 * parts.shape("qweight")[1]
    groups = columns // group
    return IntegerMatrix(
        bits=BITS,
        codes=unpack(parts.stored("qweight"), BITS, columns),
        zeros=unpack(parts.stored("qzeros"), BITS, groups).astype(np.int16),
        scales=parts.read("scales")[:, :groups].copy(),
        group=group,
    )


LAYOUTS = {"gemm": _gemm, "gemv": _gemv}
