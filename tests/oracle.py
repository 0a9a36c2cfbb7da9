"""Plain NumPy of every kernel, in float64: what the machine code must agree with."""

import math

import numpy as np


def quantize(x: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 codes [tokens, columns] and float32 scales [tokens, groups]; columns divide by group."""
    groups = x.astype(np.float32).reshape(len(x), -1, group)
    largest = np.abs(groups).max(axis=2, keepdims=True)
    with np.errstate(divide="ignore"):
        inverse = np.where(largest > 0, np.float32(127) / largest, np.float32(0))
    codes = np.rint(groups * inverse).astype(np.int8)
    return codes.reshape(x.shape), (largest[..., 0] / np.float32(127))


def rms_norm(x: np.ndarray, weight: np.ndarray, epsilon: float) -> np.ndarray:
    x = x.astype(np.float64)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + epsilon) * weight


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, epsilon: float) -> np.ndarray:
    x = x.astype(np.float64)
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + epsilon) * weight + bias


def exact_gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution's P(Z < x)."""
    return x * np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def relu2(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) ** 2


def rotate(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """x [..., dim], angles [dims / 2]: pairs (j, j + dims / 2) of the first dims elements."""
    half = len(angles)
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)


def attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, window: int = 0, cap: float = 0.0
) -> np.ndarray:
    """q [tokens, heads, dim] are the last positions of k, v [positions, kv_heads, dim]."""
    tokens, heads, _ = q.shape
    positions, kv_heads, _ = k.shape
    first = positions - tokens
    out = np.zeros(q.shape)
    for t in range(tokens):
        end = first + t + 1
        begin = max(0, end - window) if window else 0
        for h in range(heads):
            group = h // (heads // kv_heads)
            scores = k[begin:end, group] @ q[t, h] * scale
            if cap:
                scores = cap * np.tanh(scores / cap)
            weights = np.exp(scores - scores.max())
            out[t, h] = weights / weights.sum() @ v[begin:end, group]
    return out


def bidirectional(q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
    """Every token sees every token; float64 [tokens, heads, dim]."""
    scores = np.einsum("thd,shd->hts", q, k, dtype=np.float64) * scale
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    return np.einsum("hts,shd->thd", weights / weights.sum(axis=2, keepdims=True), v)
