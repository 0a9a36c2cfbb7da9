"""How well a model predicts a text: perplexity as `llama-perplexity` counts it.

The text is cut into windows of `ctx` tokens, each read from an empty cache; its first token is
replaced by the one that begins texts, where the model wants one.  What a window's positions
ctx/2 .. ctx-2 predict of the tokens after them is scored; the first half is only context.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge.errors import EdgeError
from edge.format.config import DecoderConfig

from .model import Model

LOGITS_BYTES = 16 * 2**20  # of one slice of positions
SMALLEST_WINDOW = 4


@dataclass(frozen=True)
class Evaluation:
    """perplexity  e ** mean negative log-likelihood of `tokens` tokens
    kl_mean        mean Kullback-Leibler divergence of the model from a reference, in nats
    top1_agreement share of positions where both find the same token the most likely

    Standard errors take positions for independent, as llama-perplexity does.
    """

    perplexity: float
    tokens: int
    ctx: int
    kl_mean: float | None = None
    top1_agreement: float | None = None
    kl_standard_error: float | None = None
    top1_standard_error: float | None = None


class Reference(Protocol):
    """What a model is compared with: another model, or what one has said before."""

    outputs: int

    @property
    def config(self) -> DecoderConfig: ...

    def rewind(self, position: int) -> None: ...

    def forward(self, tokens: Sequence[int], outputs: int = 1) -> np.ndarray: ...


@dataclass
class _Totals:
    tokens: int = 0
    negative_log_likelihood: float = 0.0
    divergence: float = 0.0
    divergence_squares: float = 0.0
    agreements: int = 0

    def evaluation(self, ctx: int, compared: bool) -> Evaluation:
        n = self.tokens
        perplexity = _perplexity(self)
        if not compared:
            return Evaluation(perplexity, n, ctx)
        mean, agreement = self.divergence / n, self.agreements / n
        return Evaluation(
            perplexity=perplexity,
            tokens=n,
            ctx=ctx,
            kl_mean=mean,
            top1_agreement=agreement,
            kl_standard_error=math.sqrt(max(0.0, self.divergence_squares / n - mean**2) / n),
            top1_standard_error=math.sqrt(agreement * (1 - agreement) / n),
        )


def slice_tokens(vocabulary: int) -> int:
    """Positions whose logits are held at a time: what Model's `outputs` should be."""
    return max(1, min(256, LOGITS_BYTES // (4 * vocabulary)))


def evaluate(
    model: Model,
    tokens: Sequence[int],
    *,
    ctx: int,
    bos: int | None = None,
    chunks: int | None = None,
    reference: Reference | None = None,
    progress: Callable[[int, int, float], None] = lambda done, total, perplexity: None,
) -> Evaluation:
    """Score at most `chunks` windows; `bos` is None for a model that does not begin with it.

    `progress` gets windows done, windows in all and the perplexity so far.  Raises EdgeError if
    the text is shorter than a window.
    """
    count = _check(model, tokens, ctx, reference)
    count = count if chunks is None else min(chunks, count)
    totals = _Totals()
    for i in range(count):
        window = list(tokens[i * ctx : (i + 1) * ctx])
        targets = window[ctx // 2 + 1 :]
        if bos is not None:
            window[0] = bos
        _score(model, reference, window, targets, totals)
        progress(i + 1, count, _perplexity(totals))
    return totals.evaluation(ctx, compared=reference is not None)


def together(parts: Sequence[Evaluation]) -> Evaluation:
    """Of several texts, each as heavy as its tokens; standard errors within the texts."""
    n = [part.tokens for part in parts]
    logs = [math.log(part.perplexity) for part in parts]
    return Evaluation(
        perplexity=math.exp(sum(map(operator.mul, n, logs)) / sum(n)),
        tokens=sum(n),
        ctx=parts[0].ctx,
        kl_mean=_mean(n, [part.kl_mean for part in parts]),
        top1_agreement=_mean(n, [part.top1_agreement for part in parts]),
        kl_standard_error=_of_mean(n, [part.kl_standard_error for part in parts]),
        top1_standard_error=_of_mean(n, [part.top1_standard_error for part in parts]),
    )


def _mean(n: Sequence[int], values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(map(operator.mul, n, known)) / sum(n) if known else None


def _of_mean(n: Sequence[int], errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return math.hypot(*map(operator.mul, n, known)) / sum(n) if known else None


def _check(model: Model, tokens: Sequence[int], ctx: int, reference: Reference | None) -> int:
    """How many windows there are."""
    if not SMALLEST_WINDOW <= ctx <= model.context:
        raise EdgeError(f"windows of {ctx}, expected {SMALLEST_WINDOW}..{model.context} tokens")
    if len(tokens) < ctx:
        raise EdgeError(
            f"the text has {len(tokens)} tokens, a window takes {ctx}; "
            "give a longer text or a smaller --ctx"
        )
    if reference and reference.config.vocabulary != model.config.vocabulary:
        raise EdgeError(
            f"vocabularies of {model.config.vocabulary} and {reference.config.vocabulary} tokens; "
            "only models with the same tokenizer can be compared"
        )
    return len(tokens) // ctx


def _score(
    model: Model,
    reference: Reference | None,
    window: Sequence[int],
    targets: Sequence[int],
    totals: _Totals,
) -> None:
    """Add a window's scored positions; the models walk side by side, a slice at a time."""
    step = min(m.outputs for m in (model, reference) if m is not None)
    slices = _logits(model, window, step)
    others = None if reference is None else _logits(reference, window, step)
    done = 0
    for logits in slices:
        scores = log_softmax(logits)
        wanted = np.asarray(targets[done : done + len(scores)])
        done += len(scores)
        totals.tokens += len(scores)
        totals.negative_log_likelihood -= float(scores[np.arange(len(wanted)), wanted].sum())
        if others is not None:
            _compare(scores, log_softmax(next(others)), totals)


def _logits(model: Reference, window: Sequence[int], step: int) -> Iterator[np.ndarray]:
    """Logits at a window's positions ctx/2 .. ctx-2, `step` positions at a time."""
    first, end = len(window) // 2, len(window) - 1
    model.rewind(0)
    model.forward(window[:first])
    for start in range(first, end, step):
        part = window[start : min(start + step, end)]
        yield model.forward(part, outputs=len(part))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """float32 [positions, vocabulary], in place; sums in float64."""
    logits -= logits.max(axis=1, keepdims=True)
    if not np.isfinite(logits[:, 0]).all():
        raise EdgeError("the model computed NaN or infinity; `edge verify` and `edge doctor`")
    total = np.exp(logits).sum(axis=1, keepdims=True, dtype=np.float64)
    logits -= np.log(total).astype(np.float32)
    return logits


def _compare(scores: np.ndarray, reference: np.ndarray, totals: _Totals) -> None:
    totals.agreements += int((scores.argmax(axis=1) == reference.argmax(axis=1)).sum())
    difference = np.subtract(reference, scores)
    difference *= np.exp(reference)
    divergences = difference.sum(axis=1, dtype=np.float64)
    totals.divergence += float(divergences.sum())
    totals.divergence_squares += float(divergences @ divergences)


def _perplexity(totals: _Totals) -> float:
    return math.exp(min(totals.negative_log_likelihood / totals.tokens, 700.0))
