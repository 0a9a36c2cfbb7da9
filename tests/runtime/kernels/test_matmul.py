"""Matrix products of every weight format against the dequantized weights."""

import machine
import numpy as np
import oracle
import pytest

from edge.format import tiles
from edge.format.formats import CODES, QuantizedTensor, WeightFormat
from edge.format.spec import weight_format
from edge.runtime.lowering.buffers import encoding
from edge.runtime.lowering.weights import Matrix
from tests.format.small_file import codebooks, multipliers

GROUPED = [f"int8-g{g}" for g in (32, 64, 128)] + [
    f"{name}{offset}"
    for name in ("int4-g32", "int4-g64", "int4-g128", "int5-g32")
    for offset in ("", "-offset")
]
GROUPED += [f"code4-g{g}" for g in (32, 64, 128)]
TWO_LEVEL = ["int6-g256", "int5-g256-offset", "int4-g256-offset", "int3-g256", "int2-g256-offset"]
FORMATS = ["int8", *GROUPED, *TWO_LEVEL, "ternary", "ternary-g256", "ternary-dense"]
SHAPES = [(1, 32), (16, 64), (17, 96), (40, 300), (100, 576)]
TOKENS = [1, 2, 3, 4, 5, 8, 9, 16, 33]
TILES_PER_CHUNK = 3


def random_tensor(form: WeightFormat, rows: int, columns: int, rng) -> QuantizedTensor:
    groups = -(-columns // form.group) if form.group else 1
    scales = rng.uniform(0.5, 2, (rows, groups)).astype(form.scale_type).astype(np.float32)
    offsets = None
    if form.offset:
        offsets = rng.uniform(-9, 1, (rows, groups)).astype(np.float16).astype(np.float32)
    codes = rng.integers(0, CODES[form.kind].levels, (rows, columns)).astype(np.uint8)
    factors, books = multipliers(form, rows, columns, rng), codebooks(form, rows, rng)
    return QuantizedTensor(form, codes, scales, offsets, *factors, codebooks=books)


class Activations:
    """Codes of x as the format's products want them, padded as the runtime pads."""

    def __init__(self, x: np.ndarray, form: WeightFormat):
        tokens, columns = x.shape
        to = encoding(form)
        group = {"row": columns, "row256": columns}.get(to.sink, 32)
        padded = np.pad(x, ((0, 0), (0, -columns % group)))
        codes, scales = oracle.quantize(padded, group)
        self.values = (codes.astype(np.float64).reshape(tokens, -1, group) * scales[..., None]
                       ).reshape(tokens, -1)[:, :columns]  # fmt: skip
        width = -(-columns // 1280) * 1280  # a multiple of everything that is padded to
        self.codes = machine.aligned(np.pad(codes, ((0, 0), (0, width - codes.shape[1]))))
        sums_over = {"row": width, "row256": 256, "group16": 16}.get(to.sink, 32)
        sums = self.codes.astype(np.int32).reshape(tokens, -1, sums_over).sum(axis=2)
        count = sums.shape[1]
        spread = np.zeros((tokens, count), np.float32)
        spread[:, : scales.shape[1]] = scales
        if to.sink == "row256":
            spread[:] = scales
        self.scales = machine.aligned(spread)
        starts = -to.zero * sums
        if form.offset:  # moments
            starts = np.repeat(spread, 32 // sums_over, axis=1)[:, :count] * sums
            starts = starts.astype(np.float32).view(np.int32)
        self.starts = machine.aligned(starts.astype(np.int32))


def product(kernels, tensor: QuantizedTensor, a: Activations, bias=None, residual=None, first=0):
    """float32 [tokens, rows] by the kernel, all chunks."""
    form, (rows, columns), tokens = tensor.format, tensor.shape, len(a.codes)
    weight = machine.aligned(tiles.pack(tensor), room=8192)
    height = form.tiles(rows) * 16
    out = machine.aligned(np.full((tokens, height), np.nan, np.float32))
    if residual is not None:
        out[:] = residual
    steps = Matrix("", form, rows, columns, 0, 0).steps
    registers = np.array([first, tokens], np.int64)
    at = machine.address(registers)
    arguments = (
        at, at + 8, form.tiles(rows), TILES_PER_CHUNK,
        machine.address(weight), form.tile_bytes(columns), steps,
        machine.address(a.codes), a.codes.strides[0],
        machine.address(a.scales), machine.address(a.starts), a.scales.strides[0],
        machine.address(out), out.strides[0],
        machine.address(bias) if bias is not None else 0,
        machine.address(out) if residual is not None else 0,
    )  # fmt: skip
    machine.run(kernels, f"matmul-{form}", arguments, -(-form.tiles(rows) // TILES_PER_CHUNK))
    return out[:, :rows]


def reference(tensor: QuantizedTensor, a: Activations) -> np.ndarray:
    return a.values @ tensor.dequantize().astype(np.float64).T


def bound(tensor: QuantizedTensor, a: Activations) -> np.ndarray:
    """float32 rounding: a few ulps for every addition of a group's sum, on the absolute values."""
    _, shifts = tensor.steps()
    terms = np.abs(tensor.dequantize()) + (0 if shifts is None else 4 * np.abs(shifts).max())
    magnitudes = np.abs(a.values) @ terms.T.astype(np.float64)
    return magnitudes * 2.0**-22 * (4 + tensor.shape[1] / 32) + 1e-30


@pytest.mark.parametrize("rows, columns", SHAPES)
@pytest.mark.parametrize("name", FORMATS)
def test_a_product_agrees_with_the_dequantized_weights(kernels, name, rows, columns):
    rng = np.random.default_rng([rows, columns])
    tensor = random_tensor(weight_format(name), rows, columns, rng)
    for tokens in TOKENS:
        a = Activations(rng.standard_normal((tokens, columns)), tensor.format)
        error = np.abs(product(kernels, tensor, a) - reference(tensor, a))
        assert (error <= bound(tensor, a)).all(), (tokens, error.max())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("code", ["lowest", "highest"])
@pytest.mark.parametrize("x", [-127, 127])
def test_extreme_codes_do_not_saturate(kernels, name, code, x):
    form = weight_format(name)
    value = 0 if code == "lowest" else CODES[form.kind].levels - 1
    rows, columns = 17, 512
    groups = columns // form.group if form.group else 1
    scales = np.ones((rows, groups), np.float32)
    offsets = -8 * scales if form.offset else None
    values = form.multiplier_values
    most, other = (values[-1], 7) if form.multiplier_bits == 4 else (values[0], 64)
    factors = np.full((rows, form.runs(columns)), most, np.int8)
    parts = [factors, np.full_like(factors, other)][
        : (1 + form.offset) * (form.multiplier_columns > 0)
    ]
    codes = np.full((rows, columns), value, np.uint8)
    books = codebooks(form, rows, np.random.default_rng(0))
    if books is not None:
        books[:, 0], books[:, -1] = -128, 127
    tensor = QuantizedTensor(form, codes, scales, offsets, *parts, codebooks=books)
    a = Activations(np.full((5, columns), x, np.float64), form)
    assert (product(kernels, tensor, a) == reference(tensor, a)).all()


@pytest.mark.parametrize("name", FORMATS)
def test_integers_are_summed_exactly(kernels, name):
    """Bit for bit on every library: with scales of 1 all terms and sums are integers below 2**24."""
    rng = np.random.default_rng(1)
    tensor = random_tensor(weight_format(name), 50, 1024, rng)
    tensor.scales[:] = 1
    if tensor.offsets is not None:
        tensor.offsets[:] = -7
    x = rng.integers(-127, 128, (9, 1024)).astype(np.float64)
    x[:, ::32] = 127  # so that every activation scale is 1
    expected = x @ tensor.dequantize().T.astype(np.float64)
    assert (product(kernels, tensor, Activations(x, tensor.format)) == expected).all()


@pytest.mark.parametrize("name", FORMATS)
def test_zero_scales_and_zero_activations_give_zero(kernels, name):
    form = weight_format(name)
    tensor = random_tensor(form, 20, 256, np.random.default_rng(2))
    assert (product(kernels, tensor, Activations(np.zeros((4, 256)), form)) == 0).all()
    tensor.scales[:] = 0
    if tensor.offsets is not None:
        tensor.offsets[:] = 0
    x = np.random.default_rng(3).standard_normal((4, 256))
    assert (product(kernels, tensor, Activations(x, form)) == 0).all()


def test_bias_and_residual_are_added(kernels):
    rng = np.random.default_rng(4)
    tensor = random_tensor(weight_format("int4-g32"), 40, 96, rng)
    a = Activations(rng.standard_normal((6, 96)), tensor.format)
    plain = product(kernels, tensor, a)
    bias = machine.aligned(rng.standard_normal(48).astype(np.float32))
    residual = rng.standard_normal((6, 48)).astype(np.float32)
    both = product(kernels, tensor, a, bias, residual)
    assert (both == (plain + bias[:40]) + residual[:, :40]).all()


def test_tokens_before_the_first_are_left_out_and_rows_begin_at_zero(kernels):
    rng = np.random.default_rng(5)
    tensor = random_tensor(weight_format("int8-g32"), 33, 64, rng)
    a = Activations(rng.standard_normal((7, 64)), tensor.format)
    whole = product(kernels, tensor, a)
    last = product(kernels, tensor, a, first=5)
    assert (last[:2] == whole[5:]).all() and np.isnan(last[2:]).all()


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("rows, columns", SHAPES)
def test_float_products_agree(kernels, kind, rows, columns):
    rng = np.random.default_rng(6)
    w = rng.standard_normal((rows, columns)).astype(np.float16).astype(np.float32)
    form = WeightFormat(kind)
    weight = machine.aligned(tiles.pack_floats(w, kind), room=8192)
    for tokens in TOKENS:
        x = machine.aligned(rng.standard_normal((tokens, columns)).astype(np.float32))
        out = machine.aligned(np.zeros((tokens, form.tiles(rows) * 16), np.float32))
        registers = np.array([0, tokens], np.int64)
        at = machine.address(registers)
        arguments = (
            at, at + 8, form.tiles(rows), TILES_PER_CHUNK,
            machine.address(weight), form.tile_bytes(columns), columns,
            machine.address(x), x.strides[0], 0, 0, 0, machine.address(out), out.strides[0], 0, 0,
        )  # fmt: skip
        machine.run(kernels, f"matmul-{kind}", arguments, -(-form.tiles(rows) // TILES_PER_CHUNK))
        limit = np.abs(x) @ np.abs(w).T * 2.0**-23 * columns + 1e-30
        assert (np.abs(out[:, :rows] - x.astype(np.float64) @ w.T) <= limit).all()
