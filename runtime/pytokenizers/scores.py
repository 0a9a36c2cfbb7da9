"""Numbers with a point as serde_json reads them: fast, and sometimes one bit beside the nearest.

A Unigram model adds scores up and takes the best sum. Where two sums differ in the last bit, the
tokens depend on it, so scores have to be the same numbers as in `tokenizers`.
"""

import re

NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,9}))?")
MOST_SIGNIFICANT = 2**64 - 1  # digits that do not fit are left out
LARGEST_POWER = 308


def parse_score(text: str) -> float:
    """A JSON number with a point or an exponent.  Raises ValueError if it is too large."""
    found = NUMBER.fullmatch(text)
    if not found:
        raise ValueError(f"number {text!r:.60}")
    sign, whole, fraction, power = found.groups()
    significant, left_out = _significant(0, whole)
    exponent = int(power or 0) + left_out
    if not left_out:
        significant, unread = _significant(significant, fraction or "")
        exponent -= len(fraction or "") - unread
    value = _scaled(float(significant), exponent)
    return -value if sign else value


def _significant(value: int, digits: str) -> tuple[int, int]:
    """The value with digits put behind, and how many of them did not fit."""
    for i, digit in enumerate(digits):
        longer = 10 * value + int(digit)
        if longer > MOST_SIGNIFICANT:
            return value, len(digits) - i
        value = longer
    return value, 0


def _scaled(value: float, exponent: int) -> float:
    while exponent < -LARGEST_POWER and value:
        value /= 1e308
        exponent += LARGEST_POWER
    if exponent <= 0 or not value:
        return value / float(f"1e{min(-exponent, LARGEST_POWER)}") if value else 0.0
    scaled = value * float(f"1e{exponent}")
    if scaled == float("inf"):
        raise ValueError("number too large")
    return scaled
