"""Activation functions, and softmax.  A Python number keeps the type of the array it meets."""

from math import pi, sqrt

import numpy as np

from .error_function import erf
from .registry import op


@op("Relu")
def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, x.dtype.type(0))


@op("LeakyRelu")
def leaky_relu(x: np.ndarray, *, alpha: float = 0.01) -> np.ndarray:
    return np.where(x < 0, x * alpha, x)


@op("PRelu")
def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x < 0, x * slope, x)


@op("ThresholdedRelu")
def thresholded_relu(x: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > alpha, x, x.dtype.type(0))


@op("Elu")
def elu(x: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    return np.where(x < 0, alpha * np.expm1(x), x)


@op("Celu")
def celu(x: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    return np.where(x < 0, alpha * np.expm1(x / alpha), x)


@op("Selu")
def selu(
    x: np.ndarray,
    *,
    alpha: float = 1.67326319217681884765625,
    gamma: float = 1.05070102214813232421875,
) -> np.ndarray:
    return gamma * elu(x, alpha=alpha)


@op("Sigmoid")
def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@op("HardSigmoid")
def hard_sigmoid(x: np.ndarray, *, alpha: float = 0.2, beta: float = 0.5) -> np.ndarray:
    return np.clip(x * alpha + beta, x.dtype.type(0), x.dtype.type(1))


@op("HardSwish")
def hard_swish(x: np.ndarray) -> np.ndarray:
    return x * hard_sigmoid(x, alpha=1 / 6, beta=0.5)


@op("Swish")
def swish(x: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    return x * sigmoid(x * alpha)


@op("Softplus")
def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, x.dtype.type(0))


@op("Softsign")
def softsign(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.abs(x))


@op("Mish")
def mish(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(softplus(x))


@op("Gelu")
def gelu(x: np.ndarray, *, approximate: str = "none") -> np.ndarray:
    """x times the normal distribution up to x; `approximate` "tanh": nearly."""
    if approximate == "tanh":
        return x * (0.5 * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))))
    return x * (0.5 * (1 + erf(x / sqrt(2))))


@op("Shrink")
def shrink(x: np.ndarray, *, bias: float = 0.0, lambd: float = 0.5) -> np.ndarray:
    moved = np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, x.dtype.type(0)))
    return moved.astype(x.dtype)


def _below_largest(x: np.ndarray, axis: int) -> np.ndarray:
    """x - max(x), so that no exponential overflows."""
    return np.asarray(x - x.max(axis=axis, keepdims=True)) if x.size else x


@op("Softmax")
def softmax(x: np.ndarray, *, axis: int = -1) -> np.ndarray:
    powers = np.exp(_below_largest(x, axis))
    return powers / powers.sum(axis=axis, keepdims=True)


@op("LogSoftmax")
def log_softmax(x: np.ndarray, *, axis: int = -1) -> np.ndarray:
    below = _below_largest(x, axis)
    return below - np.log(np.exp(below).sum(axis=axis, keepdims=True))


@op("Hardmax")
def hardmax(x: np.ndarray, *, axis: int = -1) -> np.ndarray:
    """1 at the first largest element, 0 elsewhere."""
    hot = np.zeros_like(x)
    first = np.expand_dims(x.argmax(axis=axis), axis)
    np.put_along_axis(hot, first, x.dtype.type(1), axis)
    return hot
