"""The normal distribution's tail as a polynomial: the hard half of the exact GELU.

P(Z > x) = erfc(x / sqrt 2) / 2 for 0 <= x <= LIMIT, as a polynomial in t = 2 x / LIMIT - 1, highest
power first.  Coefficients make the largest |x * error| least (Lawson's algorithm): 5.8e-7, in
float32 arithmetic 8.6e-7.  Beyond LIMIT, x * P(Z > x) is below 1.8e-7.

Imported by both sides, so it knows neither Numba nor NumPy.
"""

LIMIT = 5.4
TAIL = (
    1.002710333e-02, -2.427856988e-02, -1.758597001e-02, 9.893428199e-02, -5.852988163e-02,
    -1.228705760e-01, 2.145449708e-01, -7.559388177e-02, -1.553146547e-01, 2.677933220e-01,
    -2.149877224e-01, 1.025313736e-01, -2.813705651e-02, 3.467187251e-03,
)  # fmt: skip
