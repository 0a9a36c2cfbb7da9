"""A product with all that rides beside its matrix, lowered and run, against its definition."""

import numpy as np
import oracle
import pytest

from edge.format.formats import FLOATS
from edge.format.reader import EdgeFile
from edge.runtime.libraries.choice import library
from edge.runtime.libraries.plain import NumpyLibrary
from edge.runtime.lowering.lowering import FIRST_OUTPUT, TOKENS, Lowering
from edge.runtime.model import Model
from edge.runtime.plan import Plan
from edge.runtime.team import Team
from tests.exporter import decoder_oracle
from tests.format import small_file

ROWS, COLUMNS, COUNT = 40, 96, 9
NAMES = ("a", "b", "c")  # matrices that read the same


@pytest.fixture(params=[library, NumpyLibrary], ids=["compiled", "numpy"])
def kernels(request):
    return request.param()


def file_of(path, forms, count=3, ordered=(), factors=False, contents=None) -> EdgeFile:
    """Matrices a, b, c with addends, some with an order; c has other outlier columns than a and b."""
    tensors = {f"{n}.weight": (form, (ROWS, COLUMNS)) for n, form in zip(NAMES, forms, strict=True)}
    for name in NAMES:
        tensors = small_file.with_addends(tensors, name, count)
    for name in ordered:
        tensors = small_file.with_order(tensors, name)
    if factors:
        tensors |= {f"{name}.in_scale": ("vector", (COLUMNS,)) for name in NAMES}
    others = {"c.outlier_columns": np.arange(count) + COLUMNS - count}
    small_file.write(path, tensors=tensors, contents=others | (contents or {}))
    return EdgeFile(path)


def view(floats, rows):
    return decoder_oracle.memory(floats.address, rows, floats.stride)


def run(file: EdgeFile, kernels, x: np.ndarray, first: int = 0) -> list[np.ndarray]:
    """Each matrix's product with x, float32 [tokens - first, ROWS]."""
    lowering = Lowering(file, threads=2, tokens=len(x))
    source = lowering.buffers.floats(COLUMNS)
    outs = [lowering.buffers.floats(ROWS) for _ in NAMES]
    matrices = [lowering.weights.matrix(name, ROWS, COLUMNS) for name in NAMES]
    lowering._activation("plain", source, None, source, "", matrices)
    if first:
        for w, out in zip(matrices, outs, strict=True):
            lowering._product(source, w, out, first=FIRST_OUTPUT)
    else:
        lowering._products(source, matrices, outs)
    lowering.registers[[TOKENS, FIRST_OUTPUT]] = len(x), first
    view(source, len(x))[:, :COLUMNS] = x
    team = Team(kernels, 2, 1024)
    team.run(Plan(lowering.ops, kernels), len(x), len(x) - first)
    results = [view(out, len(x))[: len(x) - first, :ROWS].copy() for out in outs]
    assert (view(source, len(x))[:, :COLUMNS] == x).all()
    team.close()
    return results


def expected(file: EdgeFile, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Products by the definition, and the sums of their terms' magnitudes; float64."""
    addends, order = decoder_oracle.addends(file, name), decoder_oracle.order(file, name)
    x = x if order is None else x[:, order]
    if f"{name}.in_scale" in file:
        x = x * decoder_oracle.vector(file, f"{name}.in_scale")
    form, base = file.info(f"{name}.weight").format, decoder_oracle.alone(file, f"{name}.weight")
    rest, weight = x.astype(np.float64), addends.add_to(np.zeros_like(base)).astype(np.float64)
    if addends.outliers is not None:
        rest[:, addends.outliers.columns] = 0
    if form not in FLOATS:
        group = 32 if "-g" in form else COLUMNS
        codes, scales = oracle.quantize(rest, group)
        rest = codes * np.repeat(scales, group, axis=1).astype(np.float64)
    base = base.astype(np.float64)
    magnitude = np.abs(rest) @ np.abs(base).T + np.abs(x) @ np.abs(weight).T
    return rest @ base.T + x @ weight.T, magnitude


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize(
    "forms", [("int8", "int8", "int8"), ("code4-g32", "int8-g64", "ternary"), ("float32",) * 3]
)
def test_products_and_addends_add_up(tmp_path, kernels, forms, count):
    file = file_of(tmp_path / "f.edge", forms, count)
    x = np.random.default_rng(0).standard_normal((COUNT, COLUMNS)).astype(np.float32)
    for name, found in zip(NAMES, run(file, kernels, x), strict=True):
        wanted, magnitude = expected(file, name, x)
        assert (np.abs(found - wanted) <= 2e-5 * (magnitude + 1)).all(), name


@pytest.mark.parametrize("factors", [False, True])
@pytest.mark.parametrize("forms", [("int8", "int8", "int8"), ("code4-g32", "int8-g64", "ternary")])
@pytest.mark.parametrize("ordered", ["b", "abc"])
def test_matrices_read_their_inputs_in_their_own_orders(tmp_path, kernels, forms, ordered, factors):
    """b and c read in one order, a (if it has one) in another."""
    other = {"a.in_order": np.arange(COLUMNS)[::-1]} if "a" in ordered else {}
    file = file_of(tmp_path / "f.edge", forms, 3, ordered, factors, other)
    x = np.random.default_rng(0).standard_normal((COUNT, COLUMNS)).astype(np.float32)
    for name, found in zip(NAMES, run(file, kernels, x), strict=True):
        wanted, magnitude = expected(file, name, x)
        assert (np.abs(found - wanted) <= 2e-5 * (magnitude + 1)).all(), name


def test_an_order_is_made_once_for_all_that_read_in_it(tmp_path):
    file = file_of(tmp_path / "f.edge", ("int8", "int8-g64", "ternary"), 3, "abc")
    lowering = Lowering(file, threads=1, tokens=1)
    source = lowering.buffers.floats(COLUMNS)
    matrices = [lowering.weights.matrix(name, ROWS, COLUMNS) for name in NAMES]
    lowering._activation("plain", source, None, source, "", matrices)
    assert [op.kernel for op in lowering.ops].count("take-columns") == 1


def test_only_the_last_tokens_where_only_those_are_wanted(tmp_path, kernels):
    file = file_of(tmp_path / "f.edge", ("int8",) * 3)
    x = np.random.default_rng(1).standard_normal((COUNT, COLUMNS)).astype(np.float32)
    for whole, last in zip(run(file, kernels, x), run(file, kernels, x, first=6), strict=True):
        np.testing.assert_array_equal(last, whole[6:])


def test_outliers_do_not_coarsen_what_is_beside_them(tmp_path):
    """Three columns of 50 times the size, one scale a token: the error falls to a fifth."""
    file = file_of(tmp_path / "f.edge", ("int8",) * 3)
    x = np.random.default_rng(2).standard_normal((COUNT, COLUMNS)).astype(np.float32)
    x[:, decoder_oracle.addends(file, "a").outliers.columns] *= 50
    matrix = decoder_oracle.matrix(file, "a.weight").astype(np.float64)
    exact = x @ matrix.T
    codes, scales = oracle.quantize(x, COLUMNS)
    plain = codes * scales.astype(np.float64) @ matrix.T
    apart = run(file, library(), x)[0]
    assert 5 * np.linalg.norm(apart - exact) < np.linalg.norm(plain - exact)


def test_a_whole_model_with_addends_agrees_with_its_definition(tmp_path):
    """Every matrix but the embedding in float32 with sparse entries and a low-rank pair."""
    tensors = {
        name: ("float32", shape) if len(shape) == 2 else (form, shape)
        for name, (form, shape) in small_file.TENSORS.items()
    }
    for name in list(tensors):
        if name.startswith("layers.") and len(tensors[name][1]) == 2:
            tensors = small_file.with_addends(tensors, name.removesuffix(".weight"), 20)
    path = tmp_path / "model.edge"
    small_file.write(path, tensors=tensors)
    tokens = np.arange(12) * 3 % small_file.VOCABULARY
    wanted = decoder_oracle.logits(path, tokens)
    for kernels in (library(), NumpyLibrary()):
        model = Model(EdgeFile(path), threads=2, context=32, kv="float32", kernels=kernels)
        found = model.forward(tokens)[0]
        model.close()
        np.testing.assert_allclose(found, wanted[-1], atol=1e-4 * np.abs(wanted).max())
