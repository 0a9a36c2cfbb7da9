"""Codebooks: their levels are those of the literature, fitted ones do better than even steps."""

from importlib import import_module

import numpy as np
import pytest

from edge.errors import RecipeError
from edge.exporter.codebooks import CODEBOOKS
from edge.exporter.codebooks.lloyd import Sets, lloyd
from edge.exporter.language import parse
from edge.exporter.quantize import Method, grouped, quantize
from edge.exporter.sources import open_source
from edge.format.formats import WeightFormat

nf4, fp4, gobo_module = (
    import_module(f"edge.exporter.codebooks.{name}") for name in ("nf4", "fp4", "gobo")
)
CODE4, OFFSET4 = WeightFormat("code4", 64), WeightFormat("int4", 64, offset=True)
SHAPES = [(1, 32), (6, 96), (17, 130), (64, 1024)]


def drawn(distribution: str, *arguments: float, shape=(256, 1024)) -> np.ndarray:
    draw = getattr(np.random.default_rng(0), distribution)
    return (0.04 * draw(*arguments, shape)).astype(np.float32)


def squared_error(matrix: np.ndarray, method: Method, h: np.ndarray | None = None) -> float:
    return float(np.square(quantize(matrix, method, h).dequantize() - matrix).sum())


def gain(matrix: np.ndarray, codebook: str) -> float:
    """Relative change of the squared error against 16 even steps between smallest and largest."""
    even = squared_error(matrix, Method(OFFSET4, "minmax"))
    return squared_error(matrix, Method(CODE4, codebook)) / even - 1


@pytest.mark.parametrize("name", CODEBOOKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_weight_gets_the_nearest_level_of_its_rows(name, shape):
    matrix = drawn("standard_normal", shape=shape)
    h = np.diag(np.random.default_rng(1).uniform(0.1, 9, shape[1]))
    tensor = quantize(matrix, Method(WeightFormat("code4", 32), name), h)
    assert tensor.codes.dtype == np.uint8 and tensor.shape == shape and tensor.codes.max() < 16
    assert tensor.codebooks.shape == (-(-shape[0] // 4), 16)
    assert tensor.codebooks.dtype == np.int8 and (np.diff(tensor.codebooks) >= 0).all()
    np.testing.assert_array_equal(tensor.scales, tensor.scales.astype(np.float16))
    levels = np.repeat(tensor.codebooks, 4, axis=0)[: shape[0], None].astype(np.float64)
    values = levels * np.repeat(tensor.scales, 32, axis=1)[:, : shape[1], None]
    best = np.abs(values - matrix[:, :, None]).min(axis=2)
    moved = np.abs(tensor.dequantize() - matrix)
    assert (moved <= best + 1e-6 * np.abs(values).max()).all()


@pytest.mark.parametrize("name", CODEBOOKS)
def test_zeros_stay_zeros(name):
    matrix = np.zeros((5, 64), np.float32)
    assert not quantize(matrix, Method(CODE4, name), np.eye(64)).dequantize().any()


def zero_point_error(matrix: np.ndarray) -> float:
    """Squared error of 16 even steps, one of which is 0: the usual integer zero point."""
    groups = matrix.reshape(-1, OFFSET4.group)
    low, high = groups.min(axis=1, keepdims=True), groups.max(axis=1, keepdims=True)
    step = (high - low) / 15
    zero = np.rint(-low / step)
    codes = np.clip(np.rint(groups / step) + zero, 0, 15)
    return float(np.square(step * (codes - zero) - groups).sum())


@pytest.mark.parametrize(
    "distribution, freedom, zero_point, offset",
    [
        ("laplace", (), -0.14, -0.13),
        ("standard_t", (4,), -0.14, -0.10),
        ("normal", (), 0.02, 0.05),
    ],
)
def test_nf4_gains_on_heavy_tails_and_loses_little_on_a_bell(
    distribution, freedom, zero_point, offset
):
    """Beside even steps with an integer zero point, and beside ours, whose offset is a float."""
    matrix = drawn(distribution, *(freedom or (0, 1)))
    beside = squared_error(matrix, Method(CODE4, "nf4")) / zero_point_error(matrix) - 1
    assert beside == pytest.approx(zero_point, abs=0.02)
    assert gain(matrix, "nf4") == pytest.approx(offset, abs=0.02)


def test_int8_levels_cost_nf4_less_than_a_hundredth():
    x = drawn("standard_normal") / np.float32(0.16)
    x = x[np.abs(x) <= 1]

    def error(levels):
        middles = (levels[1:] + levels[:-1]) / 2
        return np.square(levels[np.searchsorted(middles, x)] - x).mean()

    assert error(nf4.LEVELS / 127) < 1.01 * error(nf4.QUANTILES)


def test_fp4_has_all_numbers_of_its_format():
    numbers = [s * m for s in (-1, 1) for m in (0, 0.5, 1, 1.5, 2, 3, 4, 6)]
    assert sorted({*numbers}) == sorted(fp4.LEVELS / 2)


@pytest.mark.parametrize("spread", [1e-6, 1.0, 3e4])
def test_levels_of_pow2_are_zero_and_powers_of_two(spread):
    matrix = drawn("standard_normal", shape=(16, 256)) * np.float32(spread)
    values = quantize(matrix, Method(CODE4, "pow2")).dequantize()
    mantissa, _ = np.frexp(np.abs(values[values != 0]))
    assert (mantissa == 0.5).all() and mantissa.size


def test_the_largest_power_is_that_of_the_paper():
    """n1 = floor(log2(4 s / 3)): 0.74 becomes 2**-1, 0.76 becomes 2**0."""
    matrix = np.zeros((2, 64), np.float32)
    matrix[:, 0] = 0.74, 0.76
    values = quantize(matrix, Method(CODE4, "pow2")).dequantize()
    assert values[:, 0].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("distribution", ["laplace", "normal"])
def test_kmeans_beats_even_steps(distribution):
    """Without an offset, whose bits it has no need of."""
    assert gain(drawn(distribution, 0, 1), "kmeans") < -0.05


def test_lloyd_ends_where_every_centroid_is_the_mean_of_its_values():
    values = np.random.default_rng(0).standard_normal((3, 4096)).astype(np.float32)
    sets = Sets(values, np.ones_like(values))
    centroids, turns = lloyd(sets, sets.quantiles(16))
    assert 1 < turns < 300
    for own, found in zip(values, centroids, strict=True):
        nearest = np.abs(own[:, None] - found).argmin(axis=1)
        means = [own[nearest == i].mean(dtype=np.float64) for i in range(16)]
        np.testing.assert_allclose(means, found, rtol=1e-6, atol=1e-7)


def test_weights_of_squeezellm_lower_the_error_that_they_weigh():
    matrix = drawn("standard_t", 3, shape=(64, 512))
    energy = np.random.default_rng(1).lognormal(0, 2, 512)

    def weighted(name):
        moved = quantize(matrix, Method(CODE4, name), np.diag(energy)).dequantize() - matrix
        return float((np.square(moved) * energy).sum())

    assert weighted("squeezellm") < 0.95 * weighted("kmeans")


def with_outliers() -> np.ndarray:
    """A bell, and one weight in a thousand far from it."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(0, 0.05, (256, 1024)).astype(np.float32)
    far = rng.random(matrix.shape) < 1e-3
    matrix[far] = rng.choice([-1, 1], far.sum()) * rng.uniform(0.3, 0.5, far.sum())
    return matrix


def test_gobo_keeps_one_to_three_weights_of_a_thousand_apart():
    assert 0.001 <= gobo_module.outliers(with_outliers()).mean() <= 0.003


def test_three_bits_of_gobo_beat_three_bits_of_even_steps():
    """Its outliers kept apart, which are a thousandth; even steps in groups of 128."""
    matrix = with_outliers()
    tensor = quantize(matrix, Method(WeightFormat("code4", 128), "gobo"))
    assert [len({*book}) for book in tensor.codebooks.tolist()] == [8] * 64
    inner = ~gobo_module.outliers(matrix)
    error = np.square(tensor.dequantize() - matrix)[inner].sum()
    groups = grouped(matrix, 128)
    low = groups.min(axis=2, keepdims=True)
    step = (groups.max(axis=2, keepdims=True) - low) / 7
    even = np.rint((groups - low) / step) * step + low
    assert error < 0.8 * np.square(even - groups).sum()


def test_gobo_takes_a_fifth_of_the_iterations_of_kmeans_for_nearly_its_error():
    values = with_outliers().ravel()
    values = values[~gobo_module.outliers(values)][None]
    sets = Sets(values, np.ones_like(values))
    ours, turns = gobo_module.fit(sets)
    best, most = lloyd(sets, sets.quantiles(8))

    def error(centroids):
        middles = (centroids[1:] + centroids[:-1]) / 2
        return np.square(centroids[np.searchsorted(middles, values[0])] - values[0]).mean()

    assert 5 * turns <= most
    assert error(ours) <= 1.05 * error(best[0])


def test_gptq_on_a_codebook_lowers_the_error_of_the_output():
    rng = np.random.default_rng(3)
    matrix = rng.normal(0, 0.05, (48, 128)).astype(np.float32)
    x = rng.standard_normal((512, 128)) @ rng.standard_normal((128, 128)) / 8
    h = x.T @ x
    errors = {}
    for rounding in ("rtn", "gptq"):
        tensor = quantize(matrix, Method(CODE4, "nf4", rounding), h)
        assert np.array_equal(tensor.codebooks, quantize(matrix, Method(CODE4, "nf4")).codebooks)
        moved = tensor.dequantize() - matrix
        errors[rounding] = np.einsum("rc,cd,rd->", moved, h, moved)
    assert errors["gptq"] < 0.5 * errors["rtn"]


@pytest.mark.parametrize("layer", [0, 15, 29])
def test_kmeans_beats_even_steps_on_a_trained_model(test_data, layer):
    """Of even steps without an offset: the same scales, the same bits."""
    source = open_source(test_data("SmolLM2-135M-Instruct.Q4_1.gguf"))
    for name in ("self_attn.q_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.down_proj"):
        matrix = source.read(f"model.layers.{layer}.{name}.weight")
        even = squared_error(matrix, Method(WeightFormat("int4", 64), "signed_absmax"))
        assert squared_error(matrix, Method(CODE4, "kmeans")) < 0.85 * even, name


MINILM = "minilm_l6"


@pytest.mark.parametrize("layer", [0, 3, 5])
def test_kmeans_beats_even_steps_with_offsets_on_a_model_in_floats(test_data, layer):
    """And GOBO keeps as many of its weights apart as the paper says of BERT."""
    source = open_source(test_data(MINILM))
    for name in ("attention.self.query", "attention.output.dense", "intermediate.dense"):
        matrix = source.read(f"encoder.layer.{layer}.{name}.weight")
        assert gain(matrix, "kmeans") < -0.05, name
        assert 0.0005 < gobo_module.outliers(matrix).mean() < 0.006, name


@pytest.mark.parametrize(
    "recipe", ["code4", "nf4", "code4-g32:pow2+gptq", "code4:squeezellm:g128", "int8,*.down=nf4"]
)
def test_recipes_name_codebooks(recipe):
    assert parse(recipe).name.startswith(recipe.split(":")[0])


@pytest.mark.parametrize("recipe", ["code4:mse", "code4:stochastic", "int4:nf4", "code4:nf4+fp4"])
def test_methods_that_do_not_go_with_a_codebook_are_refused(recipe):
    with pytest.raises(RecipeError, match="no scales|no rounding|no codebook|both choose"):
        parse(recipe)


def test_without_data_a_weighted_codebook_is_a_plain_one():
    method = Method(CODE4, "squeezellm", "gptq")
    assert method.needs_data
    assert method.without_data() == Method(CODE4, "kmeans")
    assert Method(CODE4, "nf4", "gptq").without_data() == Method(CODE4, "nf4")
