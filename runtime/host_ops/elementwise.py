"""One element of the output from one of each input: arithmetic, and functions of one number."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from .error_function import erf
from .registry import op

SAME: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Acos": np.arccos,
    "Acosh": np.arccosh,
    "Add": np.add,
    "Asin": np.arcsin,
    "Asinh": np.arcsinh,
    "Atan": np.arctan,
    "Atanh": np.arctanh,
    "BitwiseAnd": np.bitwise_and,
    "BitwiseNot": np.bitwise_not,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Cosh": np.cosh,
    "Erf": erf,
    "Exp": np.exp,
    "Floor": np.floor,
    "Log": np.log,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Round": np.rint,
    "Sign": np.sign,
    "Sin": np.sin,
    "Sinh": np.sinh,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Tan": np.tan,
    "Tanh": np.tanh,
}
for _name, _function in SAME.items():
    op(_name)(_function)


def is_integer(x: np.ndarray) -> bool:
    return x.dtype.kind in "iu"


@op("Div")
def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers are rounded towards zero; one divided by zero is 0."""
    if not is_integer(a):
        return a / b
    quotient = np.asarray(a // b)
    # NumPy rounds down: one too low where the signs differ and something is left over.
    return quotient + ((a % b != 0) & ((a < 0) != (b < 0))).astype(quotient.dtype)


@op("Mod")
def mod(a: np.ndarray, b: np.ndarray, *, fmod: int = 0) -> np.ndarray:
    """What is left over has the divisor's sign, or with `fmod` that of the number divided."""
    return np.fmod(a, b) if fmod else np.mod(a, b)


@op("Pow")
def power(base: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """Of the base's type, whatever the exponent's is."""
    if is_integer(base) and (not is_integer(exponent) or np.any(exponent < 0)):
        return np.asarray(np.power(base.astype(np.float64), exponent)).astype(base.dtype)
    return np.power(base, exponent.astype(base.dtype))


@op("Max")
def maximum(*arrays: np.ndarray) -> np.ndarray:
    return reduce(np.maximum, arrays)


@op("Min")
def minimum(*arrays: np.ndarray) -> np.ndarray:
    return reduce(np.minimum, arrays)


@op("Sum")
def total(*arrays: np.ndarray) -> np.ndarray:
    return reduce(np.add, arrays)


@op("Mean")
def mean(*arrays: np.ndarray) -> np.ndarray:
    return total(*arrays) / len(arrays)


@op("BitShift")
def bit_shift(x: np.ndarray, bits: np.ndarray, *, direction: str) -> np.ndarray:
    return np.left_shift(x, bits) if direction == "LEFT" else np.right_shift(x, bits)


@op("Identity")
def identity(x: np.ndarray) -> np.ndarray:
    return x


@op("Clip")
def clip(
    x: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None
) -> np.ndarray:
    """`high` wins where the two cross."""
    raised = x if low is None else np.maximum(x, low)
    return raised if high is None else np.minimum(raised, high)
