"""Scale searches: each minimizes what it says, and equals its reference."""

import math
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from edge.exporter.quantize import Method, quantize
from edge.exporter.rounding.stochastic import stochastic
from edge.exporter.scales import scale_method, search
from edge.format.formats import CODES, WeightFormat

aciq, hqq, kl, mse, percentile, twn = (  # the package's names are the functions
    import_module(f"edge.exporter.scales.{n}")
    for n in ("aciq", "hqq", "kl", "mse", "percentile", "twn")
)
# tests/golden/quantization/hqq.npz: hqq 0.2.8.post1's optimize_weights_proximal_legacy, its own
# source, on 64-weight groups of t(3)-distributed weights; zero points and codes at 4, 3, 2 bits.
HQQ = Path(__file__).parents[1] / "golden" / "quantization" / "hqq.npz"
ROW8, SIGNED4 = WeightFormat("int8"), WeightFormat("int4", 64)
OFFSET4, TERNARY = WeightFormat("int4", 64, True), WeightFormat("ternary")


def heavy_tailed(shape=(16, 4, 64), freedom=3, seed=0):
    return (0.04 * np.random.default_rng(seed).standard_t(freedom, shape)).astype(np.float32)


def rows(groups):
    return groups.reshape(len(groups), 1, -1)


def squared_error(groups, scales, form):
    return search.squares(search.residual(groups, scale_method(scales)(groups, form), form))


def plain(form):
    return "minmax" if form.offset else "signed_absmax" if form.kind == "int4" else "absmax"


@pytest.mark.parametrize("form", [ROW8, SIGNED4, OFFSET4, TERNARY], ids=str)
def test_no_group_is_worse_in_squares_than_with_its_whole_range(form):
    groups = heavy_tailed() if form.group else rows(heavy_tailed())
    searched, whole = squared_error(groups, "mse", form), squared_error(groups, plain(form), form)
    assert (searched <= whole).all() and searched.sum() < whole.sum()


def test_the_squared_error_of_heavy_tails_falls_by_5_percent_at_4_bits():
    groups = heavy_tailed((64, 8, 64))
    for form in (SIGNED4, OFFSET4):
        whole = squared_error(groups, plain(form), form).sum()
        assert squared_error(groups, "mse", form).sum() < 0.95 * whole


def test_the_refitted_scale_is_the_one_of_least_squares():
    """No scale nearby does better with the same codes."""
    groups = heavy_tailed()
    grid = search.grid_over(groups.min(axis=2), groups.max(axis=2), OFFSET4)
    values = groups - search.residual(groups, grid, OFFSET4)
    codes = np.rint((values - grid[1][:, :, None]) / grid[0][:, :, None])
    scales, offsets = mse.refit(groups, grid, OFFSET4)

    def error(s, m):
        return np.square(groups - codes * s[:, :, None] - m[:, :, None]).sum()

    best = error(scales, offsets)
    for step in (0.995, 1.005):  # float16 holds steps of 0.001
        assert best < error(scales * np.float32(step), offsets)
        assert best < error(scales, offsets + scales * np.float32(step - 1) * 4)


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_hqq_is_the_published_algorithm(bits):
    golden = np.load(HQQ)
    groups = golden["weights"].reshape(-1, 1, 64)
    inverse, zero = hqq.start(groups, 2**bits - 1)
    zero = hqq.half_quadratic(groups, inverse, zero, 2**bits - 1)
    np.testing.assert_allclose(zero[:, 0], golden[f"zero{bits}"], rtol=1e-6, atol=1e-6)
    codes = np.clip(np.rint(groups * inverse + zero), 0, 2**bits - 1)
    np.testing.assert_array_equal(codes[:, 0], golden[f"codes{bits}"])


@pytest.mark.parametrize("bits, share", [(4, 0.97), (3, 0.96), (2, 0.83)])
def test_hqq_lowers_the_mean_error_of_heavy_tails(bits, share):
    """Weights of t(3) in groups of 64, against minmax, as the reference's algorithm has it."""
    groups, top = heavy_tailed((256, 8, 64)), 2**bits - 1
    inverse, zero = hqq.start(groups, top)
    errors = [
        np.abs(groups - (np.clip(np.rint(groups * inverse + z), 0, top) - z) / inverse).mean()
        for z in (hqq.half_quadratic(groups, inverse, zero.copy(), top), zero)
    ]
    assert errors[0] < share * errors[1]


def test_hqq_never_loses_in_its_own_norm():
    groups = heavy_tailed((64, 8, 64))

    def norm(scales):
        grid = scale_method(scales)(groups, OFFSET4)
        return (np.abs(search.residual(groups, grid, OFFSET4)) ** np.float32(hqq.P)).sum(axis=2)

    assert (norm("hqq") <= norm("minmax")).all()
    assert norm("hqq").sum() < 0.98 * norm("minmax").sum()


@pytest.mark.parametrize(
    "bits, laplace, gauss", [(2, 2.83, 1.71), (3, 3.89, 2.15), (4, 5.03, 2.55)]
)
def test_the_analytical_clipping_is_that_of_the_paper(bits, laplace, gauss):
    assert aciq.laplace(bits) == pytest.approx(laplace, abs=0.012)
    assert aciq.gauss(bits) == pytest.approx(gauss, abs=0.012)


# A group may be any length here.  Levels without an offset lie half a step beside the paper's.
@pytest.mark.parametrize(
    "form, more",
    [
        (WeightFormat("int4", 128, True), 1.03),
        (WeightFormat("int4", 128), 1.03),
        (WeightFormat("int3", 256), 1.07),
        (WeightFormat("int2", 256, True), 1.08),
    ],
    ids=str,
)
@pytest.mark.parametrize("draw", ["laplace", "normal"])
def test_the_analytical_clipping_is_near_the_best_there_is(draw, form, more):
    """Beside a search over symmetric ranges, of whole rows, in squared error."""
    weights = getattr(np.random.default_rng(0), draw)(0, 0.05, (4, 1, 16384)).astype(np.float32)
    searched, reach = search.Search(weights, form, search.squares), np.abs(weights).max(axis=2)
    for share in np.linspace(0.1, 1, 91, dtype=np.float32):
        searched.offer_range(-share * reach, share * reach)
    best = search.squares(search.residual(weights, searched.grid, form)).sum()
    assert squared_error(weights, "aciq", form).sum() < more * best


@pytest.mark.parametrize("form", [ROW8, SIGNED4, OFFSET4], ids=str)
@pytest.mark.parametrize("method", [aciq.aciq, kl.kl, percentile.percentile])
def test_clipped_ranges_lie_within_the_groups(form, method):
    groups = heavy_tailed() if form.group else rows(heavy_tailed())
    low, high = groups.min(axis=2), groups.max(axis=2)
    scales, _ = method(groups, form)
    whole, _ = search.grid_over(low, high, form)
    assert (np.abs(scales) <= np.abs(whole) * (1 + 2**-10)).all()
    if method is not kl.kl:  # it may find that nothing is to be cut
        assert np.abs(scales).sum() < np.abs(whole).sum()


def test_the_kept_share_diverges_least():
    groups = rows(heavy_tailed((8, 16, 64)))
    reach = np.abs(groups).max(axis=2)
    counts = kl._histogram(groups, reach, 128)
    shares = kl._shares(counts)
    flat = counts.reshape(8, -1)
    every = [kl.divergence(flat, 128, n) for n in range(kl.LEAST, kl.PARTS + 1)]
    chosen = kl.divergence(flat[:1], 128, round(float(shares[0, 0]) * kl.PARTS))
    assert chosen[0] == np.min(every, axis=0)[0]


def test_ternary_weights_have_the_scale_that_trying_all_finds():
    groups = heavy_tailed((3, 1, 40))
    scales, _ = twn.twn(groups, TERNARY)
    for row, scale in zip(groups[:, 0], scales[:, 0], strict=True):
        errors = []
        for threshold in np.abs(row):
            kept = np.abs(row) >= threshold
            alpha = np.abs(row[kept]).mean()
            errors.append(np.square(np.abs(row) - alpha * kept).sum())
        ours = np.square(np.abs(row) - scale * (np.abs(row) > scale / 2)).sum()
        assert ours <= min(errors) * (1 + 1e-6)


def test_the_exact_ternary_search_beats_both_rules():
    groups = rows(np.random.default_rng(0).normal(0, 0.05, (16, 4, 64)).astype(np.float32))
    exact, absmean = (squared_error(groups, n, TERNARY) for n in ("twn", "absmean"))
    size = np.abs(groups)
    above = size > 0.75 * size.mean(axis=2, keepdims=True)
    alpha = (size * above).sum(axis=2, keepdims=True) / above.sum(axis=2, keepdims=True)
    rule = np.square(size - alpha * above).sum(axis=2)
    assert (exact <= rule * (1 + 1e-6)).all() and rule.sum() <= absmean.sum()


def test_stochastic_rounding_is_right_on_average_and_repeatable():
    groups = heavy_tailed((64, 8, 64), freedom=30)
    scales, offsets = scale_method("minmax")(groups, OFFSET4)
    codes = stochastic(groups, scales, offsets, OFFSET4, seed=1)
    np.testing.assert_array_equal(codes, stochastic(groups, scales, offsets, OFFSET4, seed=1))
    assert (codes != stochastic(groups, scales, offsets, OFFSET4, seed=2)).any()
    error = groups - codes * scales[:, :, None] - offsets[:, :, None]
    error /= scales[:, :, None]
    # Uniform between two codes: at most 1/2 of a step in the root mean square.
    assert abs(error.mean()) < 3 * 0.5 / math.sqrt(error.size)


def test_the_seed_of_a_method_reaches_its_rounding():
    matrix = heavy_tailed((64, 64))
    one, again, two = (
        quantize(matrix, Method(OFFSET4, "minmax", "stochastic", seed)).codes for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != two).any() and CODES["int4"].levels > one.max()
