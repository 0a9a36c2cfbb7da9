"""Low-rank compensation: the best pair of a given rank for what quantizing left."""

import numpy as np

from edge.format.addends import LowRank

RANK = 16


def lorc(left: np.ndarray, rank: int = RANK) -> LowRank:
    """argmin ||E - U V|| (ZeroQuant-V2, arXiv:2303.08302; Eckart and Young 1936).

    Singular vectors from the eigenvectors of E E^T or E^T E, whichever is smaller; U and V share
    the singular values, so that float16 rounds both alike.
    """
    error = left.astype(np.float64)
    tall = error.shape[0] > error.shape[1]
    _, vectors = np.linalg.eigh(error.T @ error if tall else error @ error.T)
    basis = vectors[:, -min(rank, len(vectors)) :]
    other = error @ basis if tall else basis.T @ error
    root = np.sqrt(np.linalg.norm(other, axis=0 if tall else 1))
    safe = np.where(root > 0, root, 1)
    if tall:
        return LowRank(_halves(other / safe), _halves((basis * root).T))
    return LowRank(_halves(basis * root), _halves(other / safe[:, None]))


def _halves(values: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = values.astype(np.float16).astype(np.float32)
    return rounded
