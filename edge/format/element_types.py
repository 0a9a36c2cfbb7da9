"""Element types of a graph's values by name, and which NumPy type holds each.

Types that NumPy lacks are held as the next wider one that it has, with values of their own grid.
"""

from typing import Any

import numpy as np

WIDER: dict[str, np.dtype[Any]] = {
    **dict.fromkeys(("bfloat16", "float4e2m1", "float8e8m0"), np.dtype("float32")),
    **dict.fromkeys(("float8e4m3fn", "float8e4m3fnuz"), np.dtype("float32")),
    **dict.fromkeys(("float8e5m2", "float8e5m2fnuz"), np.dtype("float32")),
    **dict.fromkeys(("float6e2m3", "float6e3m2"), np.dtype("float32")),
    **dict.fromkeys(("int4", "int2"), np.dtype("int8")),
    **dict.fromkeys(("uint4", "uint2"), np.dtype("uint8")),
    "string": np.dtype(object),
}


def held_as(name: str) -> np.dtype[Any]:
    """The NumPy type of an array of this element type.  Raises TypeError for a type there is not."""
    return WIDER.get(name) or np.dtype(name)
