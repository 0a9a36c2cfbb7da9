"""What the matrices of a file mean, as floats: for checks and drawings, not for kernels."""

import numpy as np

from . import spec, tiles
from .reader import EdgeFile


def matrix(file: EdgeFile, name: str) -> np.ndarray:
    """float32 [rows, columns].  Raises FormatError if there is no tensor of that name."""
    info = file.info(name)
    form = spec.weight_format(info.format)
    rows, columns = info.shape
    packed = file.view(name).reshape(form.tiles(rows), -1)
    if form.is_float:
        return tiles.unpack_floats(packed, form.kind, rows, columns)
    return tiles.unpack(packed, form, rows, columns).dequantize()
