"""Truth values: comparisons, logic, choice."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .registry import op

SAME: dict[str, Callable[..., Any]] = {
    "And": np.logical_and,
    "Equal": operator.eq,  # also of strings, for which np.equal does not give bool
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "IsNaN": np.isnan,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Where": np.where,
    "Xor": np.logical_xor,
}
for _name, _function in SAME.items():
    op(_name)(_function)


@op("IsInf")
def is_inf(x: np.ndarray, *, detect_negative: int = 1, detect_positive: int = 1) -> np.ndarray:
    return (np.isposinf(x) & bool(detect_positive)) | (np.isneginf(x) & bool(detect_negative))
