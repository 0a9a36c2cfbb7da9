"""What is taken off activations before they become codes, so that these use their whole range.

W (x - c) + (bias + W c) is W x + bias: the file has the second bias.
"""

from typing import Protocol

from ..registry import CODEBOOK, OFFSET, SYMMETRIC, TERNARY, Entry


class ShiftMethod(Protocol):
    """c, of the smallest and the largest number that was read."""

    def __call__(self, low: float, high: float) -> float: ...


def middle(low: float, high: float) -> float:
    return (low + high) / 2


SHIFTS = {
    "asymmetric": Entry(
        "shift",
        middle,
        "with a8s in a graph: codes about the middle of the range; biases take the shift.",
        suits=(OFFSET, SYMMETRIC, TERNARY, CODEBOOK),
    ),
}
