"""The scale that moves a group least: absmax, or one of its neighbours that fits better by luck."""

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .search import Grid, Search, squares

# Codes that max|w| falls short of q_max.  With 32 weights the squared error differs by a sixth
# from one scale to the next; beyond a sixteenth of q_max, coarser steps cost what luck gains.
SHORT = np.array([-1, *range(1, 16)], np.float32) / 2


def least_squares(groups: np.ndarray, form: WeightFormat) -> Grid:
    """The S with the smallest |w - S q|**2 among max|w| / (q_max - short)."""
    q_max = np.float32(CODES[form.kind].levels - 1 - form.zero)
    search = Search(groups, form, squares)
    for reach in q_max / (q_max - SHORT[SHORT < q_max / 2]):
        search.offer_range(reach * search.low, reach * search.high)
    return search.grid
