"""The order in which a matrix reads its input: a permutation that lies beside it.

    y = W x'    x'[i] = x[in_order[i]]

    NAME.in_order    indices [columns], each of 0..columns-1 once

GPTQ with act-order gives a group the columns that matter alike, from all over the matrix.  Stored side
by side they share a scale as those of any other matrix do, and what else is beside it (addends.py)
reads x', too.
"""

from collections.abc import Mapping

import numpy as np

from .formats import FLOATS
from .spec import TensorInfo

NAME = "in_order"


def check(tensors: Mapping[str, TensorInfo], kind: str) -> None:
    """That orders have the shapes of their matrices, in a model of a kind that reads them.

    Raises ValueError naming the tensor.
    """
    for name, info in tensors.items():
        stem, _, part = name.rpartition(".")
        if part == NAME:
            _check(info, stem, tensors.get(f"{stem}.weight"))
            if kind == "graph":
                raise ValueError(
                    f"tensor {name!r}: a graph's matrices read their inputs as they are"
                )


def _check(order: TensorInfo, stem: str, matrix: TensorInfo | None) -> None:
    if matrix is None or len(matrix.shape) != 2 or matrix.format in FLOATS or stem == "embedding":
        raise ValueError(f"tensor {order.name!r}: expected a matrix {stem}.weight of codes")
    if order.format != "indices" or order.shape != matrix.shape[1:]:
        raise ValueError(
            f"tensor {order.name!r}: expected indices {list(matrix.shape[1:])}, "
            f"found {order.format} {list(order.shape)}"
        )


def check_permutation(order: np.ndarray) -> None:
    """Raises ValueError unless int32 [columns] has each of 0..columns-1 once."""
    last = len(order) - 1
    if order.min() < 0 or order.max() > last or (np.bincount(order) != 1).any():
        raise ValueError(f"an order of columns, expected each of 0..{last} once")
