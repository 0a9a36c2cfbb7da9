"""Rotations: orthogonal, folded without a trace in the logits, and outliers gone."""

import numpy as np
import pytest

from edge.errors import RecipeError
from edge.exporter import export
from edge.exporter.architectures import lower
from edge.exporter.explain import explain
from edge.exporter.language import parse
from edge.exporter.layer_error import output_error
from edge.exporter.rotation import randomized_hadamard
from edge.exporter.transforms import transform_layer, transform_model
from edge.exporter.weights import Weights
from edge.format.reader import EdgeFile
from tests.exporter import decoder_oracle
from tests.exporter.memory_source import GOLDENS, golden, tiny_llama
from tests.exporter.test_data_aware import logits, statistics_of

SIZES = [1, 3, 16, 64, 96, 128, 576, 896, 2048]
POST_NORMS = [name for name in GOLDENS if name.startswith("gemma")]
IDS = np.arange(1, 9)


def turned(source):
    """A model's weights, rotated."""
    weights = Weights(source, lower(source))
    transform_model(weights, parse("int4:hadamard"))
    return weights


@pytest.mark.parametrize("size", SIZES)
def test_a_rotation_is_orthogonal(size):
    q = randomized_hadamard(size, seed=1)(np.eye(size))
    # Elements of the factors are float32: 2**-24 of each, in a sum of squares that is 1.
    assert np.abs(q @ q.T - np.eye(size)).max() <= 1e-6


def test_the_seed_decides_the_signs():
    one, again, two = (randomized_hadamard(48, seed)(np.eye(48)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != two).any()


def test_runs_of_a_longer_axis_are_rotated_each_by_itself():
    heads = randomized_hadamard(16, seed=0)
    x = np.random.default_rng(0).standard_normal((3, 48)).astype(np.float32)
    np.testing.assert_array_equal(heads(x).reshape(9, 16), heads(x.reshape(9, 16)))


def kurtosis(x):
    return float((x**4).mean() / (x**2).mean() ** 2)


@pytest.mark.parametrize("size", [512, 576])
def test_planted_outliers_spread_until_the_distribution_is_a_bell(size):
    x = np.random.default_rng(0).standard_normal((256, size))
    x[:, :3] *= 200
    assert kurtosis(x) > 300
    # A normal's is 3; its estimate from 256 x 3 outlier draws moves by a tenth.
    assert kurtosis(randomized_hadamard(size, seed=0)(x)) == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize("name", [name for name in GOLDENS if name not in POST_NORMS])
def test_a_rotated_model_has_the_same_logits(name, tmp_path):
    source = golden(name)
    weights = turned(source)
    before, after = (logits(tmp_path, source, w) for w in (Weights(source, lower(source)), weights))
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())
    query = "layers.0.attention.query.weight"
    assert np.abs(weights.read(query) - Weights(source, lower(source)).read(query)).max() > 1e-3


@pytest.mark.parametrize("name", POST_NORMS)
def test_norms_behind_branches_are_refused(name):
    with pytest.raises(RecipeError, match="norms behind its branches, .* leave it out"):
        turned(golden(name))


def test_smooth_does_not_know_the_range_of_rotated_inputs(tmp_path):
    with pytest.raises(RecipeError, match="leave these or hadamard out"):
        export(tiny_llama(), tmp_path / "x.edge", quant="int4:hadamard+smooth", calib=IDS[None])


def test_a_tied_embedding_is_untied_for_the_gain_of_the_last_norm(tmp_path):
    source = tiny_llama()
    report = export(source, tmp_path / "x.edge", quant="int8:hadamard")
    file = EdgeFile(tmp_path / "x.edge")
    assert not file.config.tied_embedding and "output.weight" in file
    assert file.document["parameters"] == lower(source).parameters
    assert any("stored beside the embedding" in note for note in report.notes)
    assert "output" in {plan.name for plan in explain(source, "int8:hadamard").classes}


def test_a_tied_embedding_stays_tied_where_that_norm_has_no_gain(tmp_path):
    source = tiny_llama()
    source.tensors["model.norm.weight"][:] = 1.5
    export(source, tmp_path / "x.edge", quant="float32")
    before = decoder_oracle.logits(tmp_path / "x.edge", IDS)
    weights = turned(source)
    assert weights.model.config.tied_embedding
    np.testing.assert_allclose(
        logits(tmp_path, source, weights), before, atol=1e-5 * np.abs(before).max()
    )


def test_second_moments_are_rotated_with_the_inputs(tmp_path):
    """tr(W H W^T), the energy of a matrix's output, is what it was in the old basis."""
    source = golden("llama3")
    statistics, weights = statistics_of(source, tmp_path), turned(source)
    plain = Weights(source, weights.model)
    for name in ("attention.query", "attention.output", "feed_forward.up", "feed_forward.down"):
        name = f"layers.1.{name}.weight"
        h = statistics.fit(name).balanced
        was = output_error(plain.read(name), h)
        now = output_error(weights.read(name), weights.second_moments(name, h))
        assert now == pytest.approx(was, rel=1e-4)  # float32 sums


def test_awq_works_in_the_rotated_basis(tmp_path):
    source = golden("llama3")
    statistics, weights = statistics_of(source, tmp_path), turned(source)
    transform_layer(weights, parse("int4:hadamard+awq"), 0, statistics)
    plain = Weights(source, lower(source))
    before, after = (logits(tmp_path, source, w) for w in (plain, weights))
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())
    assert weights.factors


def test_planted_outliers_cost_a_rotated_model_less(tmp_path):
    """Two columns 30 times the others': with a scale a row, int8 has no steps for the rest."""
    source, errors = tiny_llama(), []
    source.tensors["model.layers.0.self_attn.q_proj.weight"][:, :2] *= 30
    for quant in ("int8-g0", "int8-g0:hadamard"):
        report = export(source, tmp_path / "x.edge", quant=quant)
        errors.append(np.mean([t.error for t in report.tensors if ".query" in t.name]))
    assert errors[1] < 0.5 * errors[0]
