"""Each step of sampling against its definition, and the draw against its odds."""

import numpy as np
import pytest

from edge.errors import EdgeError, FormatError
from edge.runtime.sampler import (
    Sampler,
    Sampling,
    min_p,
    penalize,
    probabilities,
    recommended,
    temperature,
    top_k,
    top_p,
)


@pytest.fixture
def random():
    return np.random.default_rng(0)


def sorted_candidates(weights):
    logits = np.log(np.asarray(weights, np.float32))
    return np.arange(len(weights)), logits


@pytest.mark.parametrize("size", [1, 63, 64, 272, 49152])
@pytest.mark.parametrize("k", [0, 1, 3, 40, 10**6])
def test_top_k_finds_the_largest_in_order(random, size, k):
    logits = random.standard_normal(size).astype(np.float32)
    ids, values = top_k(logits, k)
    assert (values == np.sort(logits)[::-1][: k or None]).all()
    assert (logits[ids] == values).all()


def test_top_k_of_equal_logits_is_still_k():
    assert len(top_k(np.zeros(1000, np.float32), 5)[0]) == 5


@pytest.mark.parametrize(
    "p, kept", [(0.1, 1), (0.49, 1), (0.51, 2), (0.79, 2), (0.8, 3), (0.95, 4)]
)
def test_top_p_keeps_the_fewest_that_reach_p(p, kept):
    weights = [0.5, 0.296, 0.15, 0.054]
    assert len(top_p(sorted_candidates(weights), p)[0]) == kept


@pytest.mark.parametrize("p, kept", [(1.0, 1), (0.6, 1), (0.49, 2), (0.1, 3), (0.01, 4)])
def test_min_p_keeps_what_is_likely_enough_beside_the_best(p, kept):
    assert len(min_p(sorted_candidates([0.5, 0.25, 0.2, 0.05]), p)[0]) == kept


def test_temperature_raises_probabilities_to_a_power():
    candidates = sorted_candidates([0.6, 0.3, 0.1])
    expected = np.array([0.6, 0.3, 0.1]) ** 2
    found = probabilities(temperature(candidates, 0.5)[1])
    assert np.allclose(found, expected / expected.sum(), rtol=1e-6)


def test_the_penalty_moves_recent_tokens_towards_less_likely():
    logits = np.array([2.0, -2.0, 2.0], np.float32)
    assert penalize(logits, [0, 1, 1], 2.0).tolist() == [1.0, -4.0, 2.0]
    assert logits.tolist() == [2.0, -2.0, 2.0]


def test_temperature_zero_takes_the_likeliest(random):
    logits = random.standard_normal(5000).astype(np.float32)
    assert Sampler(Sampling(temperature=0))(logits) == logits.argmax()


def test_a_tiny_temperature_is_as_good_as_greedy(random):
    logits = random.standard_normal(5000).astype(np.float32)
    assert Sampler(Sampling(temperature=1e-300))(logits) == logits.argmax()


def test_the_penalty_applies_to_greedy_choices_too():
    sampler = Sampler(Sampling(temperature=0, repeat_penalty=4.0))
    assert sampler(np.array([2.0, 1.0], np.float32), recent=[0]) == 1


def test_draws_follow_the_probabilities():
    weights = np.array([0.5, 0.3, 0.2])
    settings = Sampling(temperature=1, top_k=0, top_p=1, min_p=0, seed=7)
    sampler, n = Sampler(settings), 20000
    logits = np.log(weights).astype(np.float32)
    counts = np.bincount([sampler(logits) for _ in range(n)], minlength=3)
    deviation = np.sqrt(n * weights * (1 - weights))
    assert (np.abs(counts - n * weights) < 5 * deviation).all()


def test_a_seed_repeats_its_draws(random):
    logits = random.standard_normal((50, 1000)).astype(np.float32)
    first, second = (Sampler(Sampling(seed=3)) for _ in range(2))
    assert [first(row) for row in logits] == [second(row) for row in logits]


@pytest.mark.parametrize("settings", [Sampling(temperature=0), Sampling()])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_not_numbers_are_refused(settings, wrong):
    logits = np.zeros(100, np.float32)
    logits[3] = wrong
    with pytest.raises(EdgeError, match="NaN"):
        Sampler(settings)(logits)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"repeat_penalty": 0.0},
        {"seed": -5},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(EdgeError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_a_models_recommendation_beats_the_defaults_and_a_user_both():
    document = {"temperature": 0.2, "top_k": 20, "repetition_penalty": 1.1, "other": "x"}
    settings = recommended(document, "m.edge")
    assert settings == Sampling(temperature=0.2, top_k=20, repeat_penalty=1.1)
    assert settings.but(temperature=1.0, top_k=None) == Sampling(1.0, 20, repeat_penalty=1.1)


@pytest.mark.parametrize("document", [{"temperature": "hot"}, {"top_k": 2.5}, {"top_p": 7}])
def test_a_broken_recommendation_is_a_format_error(document):
    with pytest.raises(FormatError, match="m.edge"):
        recommended(document, "m.edge")
