"""Tokens from a model, one after the other: prefill, decode, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge.errors import EdgeError

from .model import Model
from .sampler import RECENT, Sampler
from .tokenizer import Tokenizer

Progress = Callable[[int, int], None]


@dataclass
class Timings:
    """Seconds of an answer's stages; the time that its reader takes is in none of them."""

    load_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    prefill_tokens: int = 0  # of the prompt that were not in the cache already
    decode_tokens: int = 0  # steps of one token

    @property
    def prefill_tok_s(self) -> float | None:
        return self.prefill_tokens / self.prefill_s if self.prefill_s > 0 else None

    @property
    def decode_tok_s(self) -> float | None:
        return self.decode_tokens / self.decode_s if self.decode_s > 0 else None


class Engine:
    """A model and the tokens that are in its cache: a prompt's known beginning costs nothing."""

    def __init__(self, model: Model):
        self.model = model
        self._tokens: list[int] = []  # what was given to the model; it has the first `position`

    @property
    def cached(self) -> list[int]:
        """The tokens in the cache, also after a step that was interrupted."""
        return self._tokens[: self.model.position]

    def restore(self, tokens: Sequence[int]) -> None:
        """Say what the cache holds, after a state has been loaded into it."""
        self._tokens, self.model.position = list(tokens), len(tokens)

    def prefill(
        self, prompt: Sequence[int], progress: Progress = lambda done, total: None
    ) -> tuple[np.ndarray, int]:
        """Logits after a prompt, and how many of its tokens had to be computed.

        `progress` gets tokens computed and how many there are.  Raises EdgeError (empty, ids out of range), DoesNotFit (longer than the context).
        """
        if not prompt:
            raise EdgeError("the prompt is empty")
        known = min(common_prefix(self.cached, prompt), len(prompt) - 1)
        self.model.rewind(known)
        self._tokens = list(prompt)
        new = len(prompt) - known
        logits = self.model.forward(prompt[known:], progress=lambda done: progress(done, new))[0]
        return logits, new

    def decode(self, token: int) -> np.ndarray:
        """Logits after one more token."""
        del self._tokens[self.model.position :]
        self._tokens.append(token)
        logits: np.ndarray = self.model.forward([token])[0]
        return logits


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences have in common at the beginning."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


class StopStrings:
    """Holds text back while it may be the beginning of a stop string; cuts it off at one."""

    def __init__(self, stops: Sequence[str]):
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False

    def push(self, piece: str) -> str:
        """The text that is certain not to belong to a stop string; nothing more once one came."""
        if self.found:
            return ""
        text = self._held + piece
        ends = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        self.found = bool(ends)
        cut = min(ends) if ends else len(text) - self._beginning(text)
        self._held = "" if self.found else text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """What was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """The length of the longest end of the text that begins a stop string."""
        longest = max(map(len, self._stops), default=0) - 1
        for size in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return size
        return 0


class Answer(Iterator[str]):
    """The pieces of an answer's text as they come; afterwards what it was.

    text, tokens    all of it; the token or string that ended it is in neither
    finish_reason   stop (the model's end, or a stop string) or length (max_tokens, context full);
                    None while it runs, and if it was left before its end
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        prompt: Sequence[int],
        sampler: Sampler,
        *,
        max_tokens: int | None = None,
        stops: Sequence[str] = (),
        continues: bool = True,
        progress: Progress = lambda done, total: None,
    ):
        """`continues`: whether the text goes on where the prompt's ended, or begins anew."""
        if max_tokens is not None and max_tokens < 1:
            raise EdgeError(f"max_tokens of {max_tokens}; expected at least 1")
        self.prompt = [int(token) for token in prompt]
        tokenizer.check(self.prompt)
        self.text, self.timings = "", Timings()
        self.tokens: list[int] = []
        self.finish_reason: str | None = None
        self._engine, self._sampler, self._progress = engine, sampler, progress
        self._ends = frozenset(tokenizer.eos)
        self._limit = max_tokens
        self._stops = StopStrings(stops)
        self._text_stream = tokenizer.stream(self.prompt if continues else ())
        self._pieces = self._run()

    def __iter__(self) -> Answer:
        return self

    def __next__(self) -> str:
        piece = next(self._pieces)
        self.text += piece
        return piece

    def _run(self) -> Iterator[str]:
        token = self._first()
        while self._accept(token):
            piece = self._stops.push(self._text_stream.push(token))
            if piece:
                yield piece
            if self._stops.found:
                self.finish_reason = "stop"
                return
            if self._is_full():
                self.finish_reason = "length"
                break
            token = self._next(token)
        rest = self._stops.push(self._text_stream.flush()) + self._stops.flush()
        if rest:
            yield rest

    def _accept(self, token: int) -> bool:
        """Note the token, unless it ends the answer."""
        if token in self._ends:
            self.finish_reason = "stop"
            return False
        self.tokens.append(token)
        return True

    def _is_full(self) -> bool:
        model = self._engine.model
        return len(self.tokens) == self._limit or model.position == model.context

    def _first(self) -> int:
        started = time.perf_counter()
        logits, computed = self._engine.prefill(self.prompt, self._progress)
        token = self._sampler(logits, self.prompt[-RECENT:])
        self.timings.prefill_s = time.perf_counter() - started
        self.timings.prefill_tokens = computed
        return token

    def _next(self, token: int) -> int:
        started = time.perf_counter()
        logits = self._engine.decode(token)
        recent = (self.prompt[-RECENT:] + self.tokens[-RECENT:])[-RECENT:]
        token = self._sampler(logits, recent)
        self.timings.decode_s += time.perf_counter() - started
        self.timings.decode_tokens += 1
        return token
