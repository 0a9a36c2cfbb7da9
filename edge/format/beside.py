"""What lies beside a matrix, as a file has it, with every index checked before it is used."""

from collections.abc import Callable

import numpy as np

from edge.errors import FormatError

from . import in_order, tiles
from .addends import Addends, LowRank, Outliers, Sparse, check_columns, check_entries
from .formats import TILE_ROWS
from .reader import EdgeFile


def addends(file: EdgeFile, stem: str) -> Addends:
    """Of the matrix `stem`.weight.  Raises FormatError for indices that point nowhere."""
    columns, low_rank = outlier_columns(file, stem), None
    if f"{stem}.low_rank_left" in file:
        left, right = (_floats(file, f"{stem}.low_rank_{side}") for side in ("left", "right"))
        low_rank = LowRank(left, right)
    outliers = None
    if columns is not None:
        outliers = Outliers(columns, _floats(file, f"{stem}.outlier_weight"))
    return Addends(outliers, sparse(file, stem), low_rank)


def outlier_columns(file: EdgeFile, stem: str) -> np.ndarray | None:
    """int32 [k], a copy."""
    if f"{stem}.outlier_columns" not in file:
        return None
    columns = file.read_indices(f"{stem}.outlier_columns")
    _check(file, stem, lambda: check_columns(columns, file.info(f"{stem}.weight").shape[1]))
    return columns


def order(file: EdgeFile, stem: str) -> np.ndarray | None:
    """int32 [columns], a copy: the columns of its input as the matrix reads them."""
    if f"{stem}.{in_order.NAME}" not in file:
        return None
    columns = file.read_indices(f"{stem}.{in_order.NAME}")
    _check(file, stem, lambda: in_order.check_permutation(columns))
    return columns


def sparse(file: EdgeFile, stem: str) -> Sparse | None:
    """A copy."""
    if f"{stem}.sparse_rows" not in file:
        return None
    rows, entries = (file.read_indices(f"{stem}.sparse_{part}") for part in ("rows", "entries"))
    height, width = file.info(f"{stem}.weight").shape
    _check(file, stem, lambda: check_entries(rows, entries, (height, width)))
    return Sparse(rows, entries)


def _floats(file: EdgeFile, name: str) -> np.ndarray:
    """float32 [rows, columns]; the header has been checked for its format."""
    (rows, columns), form = file.info(name).shape, file.info(name).format
    packed = file.view(name).reshape(-(-rows // TILE_ROWS), -1)
    return tiles.unpack_floats(packed, form, rows, columns)


def _check(file: EdgeFile, stem: str, check: Callable[[], None]) -> None:
    try:
        check()
    except ValueError as reason:
        raise FormatError(f"{file.path}: matrix {stem!r}: {reason}") from None
