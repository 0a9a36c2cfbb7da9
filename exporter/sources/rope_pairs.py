"""The order of query and key rows that RoPE turns in pairs."""

import numpy as np

from edge.errors import SourceError


def half_split_order(rows: int, heads: int, where: str) -> np.ndarray:
    """int64 [rows]: for each row of the half-split order, where adjacent-pair files have it.

    RoPE turns pairs of rows of a head. Files of the `llama` kind (GGUF's and llama2.c's) lay
    the two rows of pair j at 2j and 2j + 1; everyone else, edge too, at j and j + head_dim / 2.
    """
    if heads < 1 or rows % (2 * heads):
        raise SourceError(f"{where}: {rows} rows are not {heads} heads of pairs")
    pairs = np.arange(rows).reshape(heads, rows // (2 * heads), 2)
    return pairs.swapaxes(1, 2).reshape(rows)
