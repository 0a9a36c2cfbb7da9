"""Choosing the next token: a list of small functions applied in order, as llama.cpp orders them.

    repetition penalty   logits of recent tokens, towards less likely
    top-k                the k most likely tokens
    top-p                of these, the fewest that together have probability p
    min-p                of these, those at least p times as likely as the most likely
    temperature          logits divided by it
    draw                 one of them, by its probability

A temperature of 0 is greedy: the most likely token after the repetition penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from edge.errors import EdgeError, FormatError

RECENT = 64  # tokens that the repetition penalty looks back on
BLOCK = 64  # logits

Candidates = tuple[np.ndarray, np.ndarray]  # int64 ids and float32 logits, most likely first
Step = Callable[[Candidates], Candidates]


@dataclass(frozen=True)
class Sampling:
    """Settings; the defaults are llama.cpp's.  Raises EdgeError for values out of range."""

    temperature: float = 0.8
    top_k: int = 40  # 0: all
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int | None = None  # None: a different answer every time

    def __post_init__(self) -> None:
        rules = {
            "temperature": self.temperature >= 0,
            "top_k": self.top_k >= 0,
            "top_p": 0 < self.top_p <= 1,
            "min_p": 0 <= self.min_p <= 1,
            "repeat_penalty": self.repeat_penalty > 0,
            "seed": self.seed is None or self.seed >= 0,
        }
        for name, holds in rules.items():
            if not holds:
                raise EdgeError(f"{name} of {getattr(self, name)}; expected {_RANGES[name]}")

    def but(self, **settings: Any) -> Sampling:
        """These settings with those that are not None in place of their own."""
        return replace(self, **{k: v for k, v in settings.items() if v is not None})


_RANGES = {
    "temperature": "0 (greedy) or more",
    "top_k": "0 (all tokens) or more",
    "top_p": "more than 0, at most 1",
    "min_p": "0 to 1",
    "repeat_penalty": "more than 0",
    "seed": "0 or more",
}
_DOCUMENT_NAMES = {"repetition_penalty": "repeat_penalty"}


def recommended(generation: Mapping[str, Any] | None, where: str) -> Sampling:
    """The settings that a model's authors recommend, llama.cpp's for the rest."""
    known = {field.name for field in fields(Sampling)}
    named = {_DOCUMENT_NAMES.get(k, k): v for k, v in (generation or {}).items()}
    settings = {k: v for k, v in named.items() if k in known}
    for name, value in settings.items():
        wanted = (int,) if name in ("top_k", "seed") else (int, float)
        if value is not None and type(value) not in wanted:
            raise FormatError(f"{where}: generation setting {name} is {value!r:.40}, not a number")
    try:
        return Sampling().but(**settings)
    except EdgeError as error:
        raise FormatError(f"{where}: generation settings: {error}") from None


class Sampler:
    """Draws tokens; with a seed, the same ones for the same logits."""

    def __init__(self, settings: Sampling):
        s = self.settings = settings
        self._random = np.random.default_rng(s.seed)
        self._steps: list[Step] = []
        if s.top_p < 1:
            self._steps.append(partial(top_p, p=s.top_p))
        if s.min_p > 0:
            self._steps.append(partial(min_p, p=s.min_p))
        if s.temperature != 1:
            self._steps.append(partial(temperature, t=s.temperature))

    def __call__(self, logits: np.ndarray, recent: Sequence[int] = ()) -> int:
        """The next token, from float32 [vocabulary]; `recent` are the tokens before it.

        Raises EdgeError if the logits are not numbers.
        """
        s = self.settings
        if s.repeat_penalty != 1:
            logits = penalize(logits, recent[-RECENT:], s.repeat_penalty)
        best = int(logits.argmax())  # NaN counts as the largest
        if not np.isfinite(logits[best]):
            raise EdgeError("the model computed NaN or infinity; `edge verify` and `edge doctor`")
        if s.temperature == 0:
            return best
        candidates = top_k(logits, s.top_k)
        for step in self._steps:
            candidates = step(candidates)
        return self._draw(candidates)

    def _draw(self, candidates: Candidates) -> int:
        ids, logits = candidates
        cumulative = probabilities(logits).cumsum()
        at = np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right")
        return int(ids[min(at, len(ids) - 1)])


def penalize(logits: np.ndarray, recent: Sequence[int], penalty: float) -> np.ndarray:
    """Keskar et al. 2019 (CTRL): positive logits of recent tokens divided, negative multiplied."""
    ids = np.unique(np.asarray(recent, np.int64))
    penalized = logits.copy()
    theirs = penalized[ids]
    penalized[ids] = np.where(theirs > 0, theirs / penalty, theirs * penalty)
    return penalized


def top_k(logits: np.ndarray, k: int) -> Candidates:
    """The k largest logits; all of them if k is 0.

    The k-th largest of the maxima of blocks is a bound that at least k logits reach: finding it
    and what is above costs a fifth of a partition of the whole vocabulary.
    """
    blocks = len(logits) // BLOCK
    ids = np.arange(len(logits))
    if 0 < k < blocks:
        maxima = logits[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1)
        ids = np.flatnonzero(logits >= np.partition(maxima, -k)[-k])
    order = np.argsort(-logits[ids])[: k or None]
    return ids[order], logits[ids[order]]


def top_p(candidates: Candidates, p: float) -> Candidates:
    """Holtzman et al. 2020 (nucleus sampling): the fewest that have probability p together."""
    ids, logits = candidates
    cumulative = probabilities(logits).cumsum()
    count = int(np.searchsorted(cumulative, p)) + 1
    return ids[:count], logits[:count]


def min_p(candidates: Candidates, p: float) -> Candidates:
    """Nguyen et al. 2024: those at least p times as likely as the most likely."""
    ids, logits = candidates
    count = int((logits >= logits[0] + np.log(p)).sum())
    return ids[:count], logits[:count]


def temperature(candidates: Candidates, t: float) -> Candidates:
    """Logits divided by t; a temperature next to 0 is as good as greedy."""
    ids, logits = candidates
    return ids, (logits - logits[0]).astype(np.float64) / max(t, 1e-9)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """float64 softmax of logits sorted downwards."""
    weights = np.exp(logits.astype(np.float64) - logits[0])
    total: np.ndarray = weights / weights.sum()
    return total
