"""Perplexity against its definition, and the positions it counts."""

import numpy as np
import pytest
import tiny_model

from edge.errors import EdgeError
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from edge.runtime.perplexity import evaluate, log_softmax, slice_tokens, together


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two with the same vocabulary and different weights; slices of 5 positions."""
    folder = tmp_path_factory.mktemp("tiny")
    paths = [tiny_model.write(folder / f"{seed}.edge", seed=seed) for seed in (0, 1)]
    made = [Model(EdgeFile(path), threads=1, context=64, outputs=5) for path in paths]
    yield made
    for model in made:
        model.close()


@pytest.fixture
def tokens():
    return np.random.default_rng(0).integers(0, 256, 70).tolist()


def scores(model, window):
    """float64 [tokens, vocabulary]: log-probabilities after every token, one by one."""
    model.rewind(0)
    logits = np.array([model.forward([t])[0].copy() for t in window], np.float64)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def expected(model, tokens, ctx, bos):
    """(log-probabilities, targets) of the scored positions, written down naively."""
    kept, targets = [], []
    for start in range(0, len(tokens) - ctx + 1, ctx):
        window = tokens[start : start + ctx]
        given = window if bos is None else [bos, *window[1:]]
        for i in range(ctx // 2, ctx - 1):
            kept.append(scores(model, given)[i])
            targets.append(window[i + 1])
    return np.array(kept), np.array(targets)


@pytest.mark.parametrize("ctx", [16, 17, 32])
@pytest.mark.parametrize("bos", [None, 256])
def test_perplexity_is_what_its_definition_says(models, tokens, ctx, bos):
    kept, targets = expected(models[0], tokens, ctx, bos)
    result = evaluate(models[0], tokens, ctx=ctx, bos=bos)
    assert result.tokens == len(targets) == (70 // ctx) * (ctx - ctx // 2 - 1)
    mean = -kept[np.arange(len(targets)), targets].mean()
    assert result.perplexity == pytest.approx(np.exp(mean), rel=1e-4)
    assert result.kl_mean is None and result.top1_agreement is None


def test_divergence_and_agreement_are_what_their_definitions_say(models, tokens):
    kept, _ = expected(models[0], tokens, 32, 256)
    reference, _ = expected(models[1], tokens, 32, 256)
    result = evaluate(models[0], tokens, ctx=32, bos=256, reference=models[1])
    divergence = (np.exp(reference) * (reference - kept)).sum(axis=1)
    agreement = kept.argmax(axis=1) == reference.argmax(axis=1)
    assert result.kl_mean == pytest.approx(divergence.mean(), rel=1e-3)
    assert result.top1_agreement == pytest.approx(agreement.mean())
    root = np.sqrt(len(divergence))
    assert result.kl_standard_error == pytest.approx(divergence.std() / root, rel=1e-3)
    assert result.top1_standard_error == pytest.approx(agreement.std() / root)


def test_texts_together_weigh_as_much_as_their_tokens(models, tokens):
    """Two halves of whole windows are the text."""
    whole = evaluate(models[0], tokens[:64], ctx=16, reference=models[1])
    halves = [
        evaluate(models[0], part, ctx=16, reference=models[1])
        for part in (tokens[:48], tokens[48:64])
    ]
    found = together(halves)
    assert (found.tokens, found.ctx) == (whole.tokens, 16)
    assert found.perplexity == pytest.approx(whole.perplexity)
    assert found.kl_mean == pytest.approx(whole.kl_mean)
    assert found.top1_agreement == pytest.approx(whole.top1_agreement)
    n = np.array([half.tokens for half in halves])
    errors = np.array([half.kl_standard_error for half in halves])
    assert found.kl_standard_error == pytest.approx(np.sqrt(((n * errors) ** 2).sum()) / n.sum())


def test_chunks_limit_the_windows_and_progress_counts_them(models, tokens):
    seen = []
    result = evaluate(
        models[0], tokens, ctx=16, chunks=2, progress=lambda *args: seen.append(args[:2])
    )
    assert result.tokens == 2 * 7
    assert seen == [(1, 2), (2, 2)]


def test_log_softmax_survives_large_logits():
    logits = np.array([[1e4, 0, -1e4]], np.float32)
    assert log_softmax(logits).tolist() == [[0, -1e4, -2e4]]


def test_a_text_shorter_than_a_window_is_refused(models, tokens):
    with pytest.raises(EdgeError, match="has 15 tokens, a window takes 16"):
        evaluate(models[0], tokens[:15], ctx=16)


@pytest.mark.parametrize("ctx", [0, 3, 65])
def test_windows_that_make_no_sense_are_refused(models, tokens, ctx):
    with pytest.raises(EdgeError, match=f"windows of {ctx}"):
        evaluate(models[0], tokens, ctx=ctx)


def test_slices_shrink_as_vocabularies_grow():
    assert slice_tokens(300) == 256
    assert slice_tokens(256000) * 4 * 256000 <= 16 * 2**20
    assert slice_tokens(10**8) == 1
