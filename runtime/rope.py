"""Rotary position embedding: the frequencies of each variant, and a step's cosines and sines."""

import math

import numpy as np

from edge.format.config import Rope


def frequencies(rope: Rope, length: int) -> np.ndarray:
    """float64 [dims / 2]: radians a position, for a text of `length` tokens so far.

    default   Su et al. 2021: base ** (-2j / dims)
    linear    Chen et al. 2023 (position interpolation): divided by factor
    dynamic   "NTK-aware" scaling: a larger base once the text outgrows original_context
    llama3    Llama 3.1: long wavelengths divided by factor, short ones kept, a ramp between
    yarn      Peng et al. 2023 (arXiv 2309.00071): a ramp over dimensions
    longrope  Ding et al. 2024: a divisor a frequency, one set for short texts, one for long
    """
    base = rope.base
    if rope.kind == "dynamic":
        stretch = rope.factor * max(length, rope.original_context) / rope.original_context
        base *= (stretch - (rope.factor - 1)) ** (rope.dims / (rope.dims - 2))
    f: np.ndarray = base ** (-np.arange(0, rope.dims, 2) / rope.dims)
    if rope.kind == "linear":
        return f / rope.factor
    if rope.kind == "llama3":
        return _llama3(rope, f)
    if rope.kind == "yarn":
        ramp = _yarn_ramp(rope)
        f = f / rope.factor * ramp + f * (1 - ramp)
    if rope.kind == "longrope":
        long = length > rope.original_context
        f = f / np.array(rope.long_factors if long else rope.short_factors)
    return f


def _llama3(rope: Rope, f: np.ndarray) -> np.ndarray:
    turns = rope.original_context * f / (2 * math.pi)  # rotations over the trained context
    t = (turns - rope.low_freq) / (rope.high_freq - rope.low_freq)
    blend = (1 - t) * f / rope.factor + t * f
    scaled = np.where(turns < rope.low_freq, f / rope.factor, blend)
    return np.where(turns > rope.high_freq, f, scaled)


def _yarn_ramp(rope: Rope) -> np.ndarray:
    """0 where a dimension turns often enough to be kept, 1 where it is interpolated."""

    def dimension(rotations: float) -> float:
        span = math.log(rope.original_context / (2 * math.pi * rotations))
        return rope.dims * span / (2 * math.log(rope.base))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.dims - 1)
    high += 0.001 * (low == high)
    ramp: np.ndarray = (np.arange(rope.dims // 2) - low) / (high - low)
    return ramp.clip(0, 1)


class RopeTable:
    """Cosines and sines, float32 [positions, dims / 2] each, filled as positions are reached.

    Where frequencies follow the length of the text, they are those of the step that computes a
    token; keys that are in the cache already keep the rotation they were stored with.
    """

    AHEAD = 256  # positions filled at a time

    def __init__(self, rope: Rope, cos: np.ndarray, sin: np.ndarray):
        self.cos, self.sin = cos, sin
        self._rope = rope
        self._changes = rope.kind in ("dynamic", "longrope")
        self._frequencies = frequencies(rope, 0)
        self._filled = 0

    def fill(self, position: int, tokens: int) -> None:
        """Make the rows of `tokens` positions from `position` ready."""
        end = position + tokens
        if self._changes:
            self._frequencies = frequencies(self._rope, end)
            self._compute(position, end)
        elif end > self._filled:
            goal = min(max(end, self._filled + self.AHEAD), len(self.cos))
            self._compute(self._filled, goal)
            self._filled = goal

    def _compute(self, begin: int, end: int) -> None:
        angles = np.arange(begin, end)[:, None] * self._frequencies
        factor, half = self._rope.attention_factor, angles.shape[1]
        np.multiply(np.cos(angles), factor, out=self.cos[begin:end, :half])
        np.multiply(np.sin(angles), factor, out=self.sin[begin:end, :half])
