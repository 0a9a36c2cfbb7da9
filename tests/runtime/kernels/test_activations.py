"""What happens between two products: gates, norms, codes."""

import machine
import numpy as np
import oracle
import pytest

from edge.runtime.plan import float_bits

EPSILON = 1e-5
GATES = {"silu": oracle.silu, "gelu": oracle.gelu, "relu2": oracle.relu2}
ALONE = {"exactgelu": oracle.exact_gelu, "tanhgelu": oracle.gelu, "relu": oracle.relu}


def padded(x: np.ndarray) -> np.ndarray:
    """float32 with rows padded with zeros to 64 elements, as the runtime's buffers are."""
    return machine.aligned(np.pad(x.astype(np.float32), ((0, 0), (0, -x.shape[1] % 64))))


class Case:
    """One call of an activations kernel; the results are attributes."""

    def __init__(self, kernels, name, x, up=None, weight=None, zero=8, bias=None, scale=0.0):
        tokens, size = x.shape
        x, up = padded(x), padded(x if up is None else up)
        weight = padded(np.ones((1, size)) if weight is None else weight[None])
        bias = padded(np.zeros((1, size)) if bias is None else bias[None])
        self.out = machine.aligned(np.zeros_like(x))
        self.codes = machine.aligned(np.zeros(x.shape, np.int8))
        groups = x.shape[1] // 16
        self.scales = machine.aligned(np.full((tokens, groups), np.nan, np.float32))
        self.starts = machine.aligned(np.zeros((tokens, groups), np.int32))
        end = np.array([tokens], np.int64)
        width = -(-size // 16) * 16
        at = machine.address
        arguments = (
            at(end), at(x), x.strides[0], at(up), up.strides[0],
            at(self.out), self.out.strides[0], width, size, at(weight), float_bits(EPSILON),
            at(self.codes), self.codes.strides[0], at(self.scales), at(self.starts),
            self.scales.strides[0], zero, at(bias), float_bits(scale),
        )  # fmt: skip
        machine.run(kernels, name, arguments, -(-tokens // 4))
        self.all_out, self.all_codes = self.out, self.codes
        self.out = self.out[:, :size]
        self.codes = self.codes[:, :size]


@pytest.mark.parametrize("size", [16, 64, 100, 576])
@pytest.mark.parametrize("gate", GATES)
def test_a_gate_agrees_with_its_formula(kernels, gate, size):
    rng = np.random.default_rng(size)
    x, up = (rng.standard_normal((7, size)).astype(np.float32) * 4 for _ in range(2))
    expected = GATES[gate](x.astype(np.float64)) * up
    # exp is good to 2e-7, a few operations on top of it to a few ulps of what they add up.
    error = np.abs(Case(kernels, f"{gate}-float", x, up).out - expected)
    assert (error <= 1e-5 + 1e-6 * np.abs(expected)).all()


@pytest.mark.parametrize("size", [16, 100, 384])
@pytest.mark.parametrize("source", ALONE)
def test_an_activation_alone_agrees_with_its_formula(kernels, source, size):
    x = np.random.default_rng(size).standard_normal((7, size)).astype(np.float32) * 4
    expected = ALONE[source](x.astype(np.float64))
    case = Case(kernels, f"{source}-float", x)
    # Exact GELU: 8.6e-7 by its polynomial (kernels/normal.py); the tanh form as where it gates.
    allowed = {"exactgelu": 1e-6, "tanhgelu": 1e-5, "relu": 0.0}[source]
    assert (np.abs(case.out - expected) <= allowed + 2**-23 * np.abs(expected)).all()
    assert (case.all_out[:, size:] == 0).all()


def test_the_exact_gelu_is_within_its_bound_everywhere(kernels):
    x = np.array([*np.linspace(-12, 12, 4000), 1e-30, -1e-30, 5.4, -5.4, 3e38, -3e38], np.float32)
    found = Case(kernels, "exactgelu-float", x[None]).out[0]
    expected = oracle.exact_gelu(x.astype(np.float64))
    assert (np.abs(found - expected) <= 1e-6 + 2**-23 * np.abs(expected)).all()


@pytest.mark.parametrize("size", [16, 100, 312, 384])
@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_a_layer_norm_agrees_with_its_formula(kernels, size, shift):
    rng = np.random.default_rng(size)
    x = (rng.standard_normal((5, size)) * 3 + shift).astype(np.float32)
    weight, bias = (rng.standard_normal(size).astype(np.float32) for _ in range(2))
    case = Case(kernels, "plain-layernorm-float", x, weight=weight, bias=bias)
    expected = oracle.layer_norm(x, weight, bias, EPSILON)
    # A mean of float32 is off by some ulps of the elements; what is left is divided by 3.
    allowed = 4e-6 * (1 + np.abs(expected).max()) + 2**-22 * shift
    assert np.abs(case.out - expected).max() < allowed
    assert (case.all_out[:, size:] == 0).all()


def test_a_layer_norm_of_equal_elements_is_its_bias(kernels):
    bias = np.random.default_rng(3).standard_normal(96).astype(np.float32)
    x = np.full((2, 96), 7.0)
    assert (Case(kernels, "plain-layernorm-float", x, bias=bias).out == bias).all()


@pytest.mark.parametrize("sink, group", [("group", 32), ("row", 96)])
def test_codes_of_a_layer_norm_are_those_of_its_result(kernels, sink, group):
    rng = np.random.default_rng(4)
    x, weight, bias = rng.standard_normal((5, 96)), rng.random(96), rng.random(96)
    case = Case(kernels, f"plain-layernorm-{sink}", x, weight=weight, bias=bias)
    codes, scales = oracle.quantize(case.out, group)
    assert (case.codes == codes).all() and (case.scales[:, : scales.shape[1]] == scales).all()


@pytest.mark.parametrize("size", [16, 100, 576])
def test_a_norm_agrees_with_its_formula(kernels, size):
    rng = np.random.default_rng(size)
    x, weight = rng.standard_normal((5, size)) * 3, rng.standard_normal(size)
    got = Case(kernels, "plain-norm-float", x, weight=weight).out
    expected = oracle.rms_norm(x.astype(np.float32), weight.astype(np.float32), EPSILON)
    assert np.abs(got - expected).max() < 2e-6 * np.abs(expected).max()


def test_the_norm_of_zeros_is_zero_and_of_a_gate_is_the_norm_of_its_product(kernels):
    assert (Case(kernels, "plain-norm-float", np.zeros((2, 64))).out == 0).all()
    rng = np.random.default_rng(0)
    x, up, weight = rng.standard_normal((3, 96)), rng.standard_normal((3, 96)), rng.random(96)
    got = Case(kernels, "relu2-norm-float", x, up, weight).out
    expected = oracle.rms_norm(oracle.relu2(x) * up, weight, EPSILON)
    assert np.abs(got - expected).max() < 1e-5


@pytest.mark.parametrize("size", [32, 100, 576])
def test_codes_of_groups_agree_with_the_definition(kernels, size):
    rng = np.random.default_rng(size)
    x = rng.standard_normal((6, size)).astype(np.float32)
    x[2, :32] = 0
    case = Case(kernels, "plain-group", x, zero=8)
    full = np.pad(x, ((0, 0), (0, -size % 32)))
    codes, scales = oracle.quantize(full, 32)
    groups = scales.shape[1]
    assert (case.codes == codes[:, :size]).all()
    assert (case.scales[:, :groups] == scales).all()
    sums = codes.astype(np.int32).reshape(6, groups, 32).sum(axis=2)
    assert (case.starts[:, :groups] == -8 * sums).all()
    halves = Case(kernels, "plain-group16", x, zero=32)
    assert (halves.codes == case.codes).all()
    assert (halves.scales[:, :groups] == scales).all()
    sums16 = codes.astype(np.int32).reshape(6, 2 * groups, 16).sum(axis=2)
    assert (halves.starts[:, : 2 * groups] == -32 * sums16).all()
    moments = Case(kernels, "plain-moment", x).starts.view(np.float32)[:, :groups]
    assert (moments == scales * sums.astype(np.float32)).all()
    moments16 = Case(kernels, "plain-group16", x, zero=0).starts.view(np.float32)[:, : 2 * groups]
    assert (moments16 == np.repeat(scales, 2, axis=1) * sums16.astype(np.float32)).all()


@pytest.mark.parametrize("size", [64, 100, 576])
def test_codes_of_a_row_agree_with_the_definition(kernels, size):
    x = np.random.default_rng(size).standard_normal((5, size)).astype(np.float32)
    case = Case(kernels, "plain-row", x, zero=1)
    codes, scales = oracle.quantize(x, size)
    assert (case.codes == codes).all() and (case.scales[:, 0] == scales[:, 0]).all()
    assert (case.starts[:, 0] == -codes.astype(np.int32).sum(axis=1)).all()
    parts = Case(kernels, "plain-row256", x, zero=1)
    assert (parts.codes == codes).all()
    for g, begin in enumerate(range(0, size, 256)):
        part = codes[:, begin : begin + 256].astype(np.int32)
        assert (parts.starts[:, g] == -part.sum(axis=1)).all()
        assert (parts.scales[:, g] == scales[:, 0]).all()


GIVEN = ["group", "group16", "moment", "row", "row256"]


@pytest.mark.parametrize("sink", GIVEN)
def test_one_scale_may_serve_a_whole_token(kernels, sink):
    x = np.random.default_rng(5).standard_normal((5, 320)).astype(np.float32)
    x[3] = 0
    case = Case(kernels, f"plain-{sink}", x, zero=1, scale=-1.0)
    codes, scales = oracle.quantize(x, 320)
    groups = {"row": 1, "row256": 2}.get(sink, 10)
    assert (case.codes == codes).all() and (case.scales[:, :groups] == scales).all()


@pytest.mark.parametrize("sink", GIVEN)
def test_a_scale_that_is_given_cuts_off_what_it_does_not_reach(kernels, sink):
    x = np.random.default_rng(6).standard_normal((5, 320)).astype(np.float32) * 10
    x[1, 7], x[2, 8], x[3] = 3e38, -3e38, 0
    scale = np.float32(0.1)
    case = Case(kernels, f"plain-{sink}", x, zero=1, scale=float(scale))
    with np.errstate(over="ignore"):
        codes = np.rint((x * (np.float32(1) / scale)).clip(-127, 127))
    groups = {"row": 1, "row256": 2}.get(sink, 10)
    assert (case.codes == codes).all() and (case.scales[:, :groups] == scale).all()
    assert np.abs(case.codes).max() == 127
    sums = codes.astype(np.int32).sum(axis=1)
    if sink == "moment":
        found = case.starts.view(np.float32)[:, :groups].astype(np.float64).sum(axis=1) / scale
    else:
        starts = 20 if sink == "group16" else groups
        found = -case.starts[:, :starts].sum(axis=1)
    np.testing.assert_allclose(found, sums, rtol=1e-6, atol=1e-3)


def test_columns_may_be_multiplied(kernels):
    x, factors = (np.random.default_rng(n).standard_normal((7, 96)) for n in (7, 8))
    factors[:] = factors[0]
    product = Case(kernels, "times-float", x, up=factors).out
    assert (product == x.astype(np.float32) * factors.astype(np.float32)).all()


@pytest.mark.parametrize("sink", ["group", "row"])
def test_codes_of_a_fused_norm_are_those_of_the_norm_alone(kernels, sink):
    x, weight = (np.random.default_rng(n).standard_normal((5, 96)) for n in (9, 10))
    fused = Case(kernels, f"plain-norm-{sink}", x, weight=weight[0])
    alone = Case(
        kernels, f"plain-{sink}", Case(kernels, "plain-norm-float", x, weight=weight[0]).out
    )
    assert (fused.codes == alone.codes).all()
    assert np.array_equal(fused.scales, alone.scales, equal_nan=True)


def test_nothing_is_written_beyond_the_padding(kernels):
    x = np.random.default_rng(1).standard_normal((3, 100)) + 5
    assert (Case(kernels, "plain-norm-group", x).all_codes[:, 100:] == 0).all()


def test_extreme_values_stay_within_127(kernels):
    x = np.array([[3e38, -3e38] * 16, [1e-38, -1e-38] * 16, [1e-45] * 32], np.float32)
    case = Case(kernels, "plain-group", x)
    assert case.codes.min() >= -127 and case.codes.max() <= 127
    assert (case.codes[0] == [127, -127] * 16).all()


def test_the_residual_gets_the_norm_of_the_branch(kernels):
    rng = np.random.default_rng(2)
    x, out, weight = (padded(rng.standard_normal((n, 96))) for n in (5, 5, 1))
    expected = out[:, :96] + oracle.rms_norm(x[:, :96], weight[:, :96], EPSILON)
    end, at = np.array([5], np.int64), machine.address
    arguments = (at(end), at(x), x.strides[0], 0, 0, at(out), out.strides[0], 96, 96, at(weight),
                 float_bits(EPSILON))  # fmt: skip
    machine.run(kernels, "norm-add", arguments, 2)
    assert np.abs(out[:, :96] - expected).max() < 1e-5 and (out[:, 96:] == 0).all()


def test_a_softcap_bends_every_logit(kernels):
    x = machine.aligned(np.random.default_rng(3).standard_normal((2, 4112)).astype(np.float32) * 50)
    expected = 30 * np.tanh(x.astype(np.float64) / 30)
    arguments = (0, machine.address(x), x.strides[0], 0, 0, 0, 0, 4112, 0, 0, float_bits(30.0))
    machine.run(kernels, "softcap", arguments, 2 * 64)
    assert np.abs(x - expected).max() < 2e-5
