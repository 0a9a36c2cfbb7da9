"""erf, which NumPy lacks: rational approximations of W. J. Cody (Math. Comp. 23, 1969)."""

import numpy as np

# Highest power first.  NEAR is for |x| <= 0.46875, MIDDLE for |x| <= 4 (erfc), FAR beyond (erfc).
NEAR = (
    (0.185777706184603153, 3.16112374387056560, 113.864154151050156, 377.485237685302021,
     3209.37758913846947),
    (1.0, 23.6012909523441209, 244.024637934444173, 1282.61652607737228, 2844.23683343917062),
)  # fmt: skip
MIDDLE = (
    (2.15311535474403846e-8, 0.564188496988670089, 8.88314979438837594, 66.1191906371416295,
     298.635138197400131, 881.952221241769090, 1712.04761263407058, 2051.07837782607147,
     1230.33935479799725),
    (1.0, 15.7449261107098347, 117.693950891312499, 537.181101862009858, 1621.38957456669019,
     3290.79923573345963, 4362.61909014324716, 3439.36767414372164, 1230.33935480374942),
)  # fmt: skip
FAR = (
    (0.0163153871373020978, 0.305326634961232344, 0.360344899949804439, 0.125781726111229246,
     0.0160837851487422766, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242, 1.87295284992346725, 0.527905102951428412, 0.0605183413124413191,
     0.00233520497626869185),
)  # fmt: skip
LAST = 6.0  # from here on erf is 1 in float64
BLOCK = 16384  # numbers at a time: what is in between stays in the cache


def _ratio(x: np.ndarray, terms: tuple[tuple[float, ...], tuple[float, ...]]) -> np.ndarray:
    return np.polyval(terms[0], x) / np.polyval(terms[1], x)


def _tail(a: np.ndarray) -> np.ndarray:
    """erfc of numbers above 0.46875."""
    middle = _ratio(a, MIDDLE)
    inverse = 1 / (a * a)
    far = (1 / np.sqrt(np.pi) - inverse * _ratio(inverse, FAR)) / a
    return np.exp(-a * a) * np.where(a <= 4, middle, far)


def _erf(x: np.ndarray) -> np.ndarray:
    a = np.clip(np.abs(x), 0.46875, LAST)  # keeps NaN
    outer = np.copysign(1 - _tail(a), x)
    near = x * _ratio(np.minimum(x * x, 0.46875**2), NEAR)
    return np.where(np.abs(x) <= 0.46875, near, outer)


def erf(x: np.ndarray) -> np.ndarray:
    """Of x's type; computed in float64, to the last bit or two of it."""
    flat = x.reshape(-1)
    y = np.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        part = slice(start, start + BLOCK)
        y[part] = _erf(flat[part].astype(np.float64))
    return y.reshape(x.shape)
