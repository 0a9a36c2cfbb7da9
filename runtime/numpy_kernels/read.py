"""Read memory: the yardstick for achieved GB/s."""

import numpy as np

from .memory import view

LINES = 8  # of 16 floats, added up side by side as in kernels/bandwidth.py


def read(args: list[int], chunks: range) -> None:
    """A chunk's floats added up into a line of 16 sums."""
    data, chunk_bytes, sums = args[:3]
    shape = (len(chunks), chunk_bytes // (64 * LINES) * LINES, 16)
    floats = view(data + chunks.start * chunk_bytes, shape, "<f4", (chunk_bytes,))
    np.sum(floats, axis=1, out=view(sums + 64 * chunks.start, (len(chunks), 16), "<f4"))
