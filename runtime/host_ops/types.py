"""Types by their names, and the casts between them.

Types that NumPy lacks are held in a wider one that it has; a cast to such a type rounds onto its
numbers.
"""

from dataclasses import dataclass

import numpy as np

from edge.errors import UnsupportedModel
from edge.format.element_types import held_as

from .registry import op


@dataclass(frozen=True)
class SmallFloat:
    """The numbers of a floating point format without NumPy's help.

    mantissa  bits after the point
    lowest    exponent of the smallest normal number
    """

    mantissa: int
    lowest: int
    largest: float
    has_infinity: bool = False
    has_nan: bool = True
    has_negative_zero: bool = True


# bfloat16: the upper half of a float32.  float8: arXiv:2209.05433, and 2206.02915 (fnuz).
# float4, float6: the OCP microscaling formats (MX) 1.0.
SMALL_FLOATS = {
    "bfloat16": SmallFloat(7, -126, float.fromhex("0x1.fep127"), has_infinity=True),
    "float8e4m3fn": SmallFloat(3, -6, 448.0),
    "float8e4m3fnuz": SmallFloat(3, -7, 240.0, has_negative_zero=False),
    "float8e5m2": SmallFloat(2, -14, 57344.0, has_infinity=True),
    "float8e5m2fnuz": SmallFloat(2, -15, 57344.0, has_negative_zero=False),
    "float6e2m3": SmallFloat(3, 0, 7.5, has_nan=False),
    "float6e3m2": SmallFloat(2, -2, 28.0, has_nan=False),
    "float4e2m1": SmallFloat(1, 0, 6.0, has_nan=False),
}
SMALL_INTEGERS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}  # bits
EXPONENT = "float8e8m0"  # powers of two alone, 2**-127 to 2**127


def held(name: str) -> np.dtype:
    """NumPy's type that holds elements of this one."""
    try:
        return held_as(name)
    except TypeError:
        raise UnsupportedModel(f"type {name!r}: edge has no such type of elements") from None


def round_to(x: np.ndarray, small: SmallFloat, saturate: bool) -> np.ndarray:
    """The nearest numbers of a format (ties to even), as float32.

    Beyond the largest: that one if `saturate`, else infinity, or NaN where there is none.
    """
    wide = x.astype(np.float64)
    exponent = np.maximum(np.frexp(wide)[1] - 1, small.lowest)
    step = np.ldexp(1.0, exponent - small.mantissa)
    near = np.where(np.isfinite(wide), np.rint(wide / step) * step, wide)
    beyond = np.inf if small.has_infinity else np.nan
    limit = small.largest if saturate or not small.has_nan else beyond
    near = np.where(np.abs(near) > small.largest, np.copysign(limit, near), near)
    if not small.has_nan:
        near = np.where(np.isnan(near), 0.0, near)
    return np.asarray(near if small.has_negative_zero else near + 0.0).astype(np.float32)


def _power_of_two(x: np.ndarray, saturate: bool, mode: str) -> np.ndarray:
    """float8e8m0 holds 2**-127 to 2**127 and NaN; zero becomes the smallest."""
    fraction, exponent = np.frexp(np.abs(x.astype(np.float64)))  # fraction from 0.5 to 1
    if mode == "up":
        above = fraction > 0.5
    else:
        above = (fraction >= 0.75) & (mode == "nearest")
    exponent = exponent - 1 + above
    beyond = (exponent > 127) | (exponent < -127) | (x == 0) | np.isinf(x)
    exponent = np.where(np.isinf(x), 127, np.where(x == 0, -127, np.clip(exponent, -127, 127)))
    lost = np.isnan(x) | (beyond & (not saturate))
    return np.where(lost, np.nan, np.ldexp(1.0, exponent)).astype(np.float32)


def _wrapped(x: np.ndarray, bits: int, dtype: np.dtype) -> np.ndarray:
    """The lowest bits of whole numbers."""
    whole = x.astype(np.int64) & (2**bits - 1)
    if dtype.kind == "i":
        whole -= (whole >> (bits - 1)) << bits
    return whole.astype(dtype)


def _texts(x: np.ndarray) -> np.ndarray:
    special = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}
    texts = np.empty(x.shape, object)
    texts.ravel()[:] = [special.get(str(number), str(number)) for number in x.ravel()]
    return texts


def _numbers(texts: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "b":
        return np.array([bool(float(text)) for text in texts.ravel()], dtype).reshape(texts.shape)
    read = float if dtype.kind == "f" else _whole
    return np.array([read(text) for text in texts.ravel()], dtype).reshape(texts.shape)


def _whole(text: str) -> int:
    """Not by way of a float if it need not: those hold 53 bits."""
    try:
        return int(text)
    except ValueError:
        return int(float(text))


@op("Cast")
def cast(x: np.ndarray, *, to: str, saturate: int = 1, round_mode: str = "up") -> np.ndarray:
    """Elements as another type, named by `to`; `saturate` and `round_mode` are for small floats."""
    dtype = held(to)
    if dtype == object:
        return x if x.dtype == object else _texts(x)
    if x.dtype == object:
        x = _numbers(x, np.dtype(np.float64) if to in SMALL_FLOATS else dtype)
    if to == "bfloat16":
        return round_to(x, SMALL_FLOATS[to], saturate=False)
    if to in SMALL_FLOATS:
        return round_to(x, SMALL_FLOATS[to], bool(saturate))
    if to in SMALL_INTEGERS:
        return _wrapped(x, SMALL_INTEGERS[to], dtype)
    if to == EXPONENT:
        return _power_of_two(x, bool(saturate), round_mode)
    return x.astype(dtype, copy=False)


@op("BitCast")
def bit_cast(x: np.ndarray, *, to: str) -> np.ndarray:
    """The same bits read as another type."""
    dtype = held(to)
    if dtype.name != to or dtype.itemsize != x.dtype.itemsize:
        raise UnsupportedModel(f"BitCast of {x.dtype} to {to}: not of one size as edge holds them")
    return x.view(dtype)
