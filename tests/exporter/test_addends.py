"""What is kept beside a matrix: chosen where it helps, left out where there is nothing."""

import numpy as np
import oracle
import pytest

from edge.errors import RecipeError
from edge.exporter import export
from edge.exporter.addends import ADDENDS, expected_bytes
from edge.exporter.addends.lorc import lorc
from edge.exporter.addends.outliers import outliers
from edge.exporter.architectures import lower
from edge.exporter.augmented import augmented
from edge.exporter.calibration.moments import SINK, Moments
from edge.exporter.explain import explain
from edge.exporter.language import parse
from edge.exporter.quantize import Method
from edge.exporter.weights import Weights
from edge.format import spec
from edge.format.addends import PARTS
from edge.format.formats import WeightFormat
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from tests.exporter import decoder_oracle
from tests.exporter.memory_source import golden, tiny_llama

ROW8, OFFSET4 = WeightFormat("int8"), WeightFormat("int4", 64, offset=True)
CODE4 = WeightFormat("code4", 64)


def drawn(shape=(128, 512), freedom=3, seed=0) -> np.ndarray:
    return (0.04 * np.random.default_rng(seed).standard_t(freedom, shape)).astype(np.float32)


def with_planted(tokens=64, columns=256) -> np.ndarray:
    """Inputs, three columns of which are 50 times as large as the others."""
    x = np.random.default_rng(1).standard_normal((tokens, columns))
    x[:, [3, 100, 255]] *= 50
    return x.astype(np.float32)


def product(stored, x: np.ndarray) -> np.ndarray:
    """x times the matrix with one int8 scale a token; columns that are apart stay floats."""
    addends, base = stored.addends, stored.tensor.dequantize().astype(np.float64)
    rest, apart = x.copy(), 0.0
    if addends.outliers is not None:
        rest[:, addends.outliers.columns] = 0
        apart = x[:, addends.outliers.columns] @ addends.outliers.weight.T.astype(np.float64)
    codes, scales = oracle.quantize(rest, x.shape[1])
    return codes * scales.astype(np.float64) @ base.T + apart


def test_outlier_columns_lower_the_error_of_8_bit_products_to_a_fifth():
    matrix, x = drawn((128, 256), freedom=30), with_planted()
    exact = x @ matrix.T.astype(np.float64)
    errors = []
    for names in ((), ("outliers",)):
        method = Method(ROW8, "absmax", addends=names)
        found = product(augmented(matrix, method, None, np.abs(x).max(axis=0)), x)
        relative = np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1)
        errors.append(relative.mean())
    assert 5 * errors[1] <= errors[0]


def test_outlier_columns_are_those_of_the_inputs_or_else_of_the_weights():
    matrix, x = drawn((128, 256), freedom=30), with_planted()
    assert np.flatnonzero(outliers(matrix, np.abs(x).max(axis=0))).tolist() == [3, 100, 255]
    assert not outliers(matrix, None).any()
    matrix[:, [7, 8]] *= 20
    assert np.flatnonzero(outliers(matrix, None)).tolist() == [7, 8]
    assert outliers(matrix, 10.0 ** np.arange(256)).sum() == 256 // 16  # no more than these


def test_columns_are_apart_if_the_scale_falls_by_much():
    """Two as they come out of an encoder's layer norms; but not as gated products are."""
    matrix = drawn((16, 384))
    inputs = 1 + 0.3 * np.random.default_rng(0).random(384)
    inputs[[9, 20]] = 4.4, 3.3
    assert np.flatnonzero(outliers(matrix, inputs)).tolist() == [9, 20]
    assert not outliers(matrix, 4.4 * np.arange(1, 385) ** -0.2).any()


def test_one_loud_token_makes_no_outlier_column():
    """What sets the scale of every other token does."""
    x = np.random.default_rng(0).standard_normal((4096, 32)).astype(np.float32)
    x[:, 3] *= 6
    x[50, 7] = 40
    (moments := Moments.empty(32)).update(x)
    source = tiny_llama()
    weights, name = Weights(source, lower(source)), "layers.0.attention.query.weight"
    typical = weights.typical_inputs(name, moments)
    np.testing.assert_allclose(typical, np.sqrt(np.square(x[SINK:]).mean(axis=0)), rtol=1e-4)
    assert np.flatnonzero(outliers(weights.read(name), typical)).tolist() == [3]


def test_sparse_entries_lower_the_error_of_heavy_tails_by_a_fifth():
    matrix = drawn((256, 1024))
    for method in (Method(OFFSET4, "minmax"), Method(CODE4, "nf4")):
        plain, apart = (
            augmented(matrix, Method(method.format, method.scales, addends=names))
            for names in ((), ("sparse",))
        )
        assert apart.addends.sparse.entries.size == round(0.0045 * matrix.size)
        assert apart.error(matrix) ** 2 < 0.8 * plain.error(matrix) ** 2


def test_some_sparse_entries_are_for_the_largest_inputs():
    matrix, inputs = drawn(), np.ones(512, np.float32)
    inputs[17] = 1e4
    apart = augmented(matrix, Method(OFFSET4, "minmax", addends=("sparse",)), None, inputs)
    columns = apart.addends.sparse.entries & 0xFFFF
    assert (columns == 17).sum() > 0.05 * len(columns)


def test_kept_entries_are_exact_but_for_float16():
    matrix = drawn()
    apart = augmented(matrix, Method(OFFSET4, "minmax", addends=("sparse",)))
    where = apart.addends.sparse.dense(*matrix.shape) != 0
    moved = np.abs(apart.dequantize() - matrix)[where]
    assert (moved <= 2**-10 * np.abs(matrix[where])).all() and where.sum() > 200


def test_gobo_keeps_its_outliers_beside_three_bits():
    matrix = np.random.default_rng(0).normal(0, 0.05, (64, 512)).astype(np.float32)
    matrix[::7, 5] = 0.6
    bare, whole = (
        augmented(matrix, Method(WeightFormat("code4", 128), "gobo", addends=names))
        for names in ((), ("gaussian",))
    )
    assert 10 <= whole.addends.sparse.entries.size <= 0.003 * matrix.size
    assert whole.error(matrix) < 0.8 * bare.error(matrix)


@pytest.mark.parametrize("shape", [(40, 96), (96, 40)])
def test_a_low_rank_pair_leaves_the_smaller_singular_values(shape):
    error = drawn(shape)
    pair = lorc(error, 8)
    left = np.linalg.norm(error - pair.left @ pair.right)
    least = np.sqrt((np.linalg.svd(error.astype(np.float64), compute_uv=False)[8:] ** 2).sum())
    assert least <= left <= 1.0001 * least  # float16
    assert pair.left.shape == (shape[0], 8) and pair.right.shape == (8, shape[1])


def test_the_error_of_all_together_is_less_than_of_each():
    matrix = drawn()
    errors = {
        names: augmented(matrix, Method(OFFSET4, "minmax", addends=names)).error(matrix)
        for names in ((), ("sparse",), ("lorc",), ("sparse", "lorc"))
    }
    assert errors["sparse", "lorc"] < min(errors["sparse",], errors["lorc",]) < errors[()]


def test_gptq_rounds_without_what_is_apart():
    """And does not count its columns, whose inputs are 0 to what is quantized."""
    rng = np.random.default_rng(5)
    matrix = drawn((48, 128))
    x = rng.standard_normal((512, 128)) @ rng.standard_normal((128, 128)) / 8
    x[:, 9] *= 100
    h, inputs = x.T @ x, np.abs(x).max(axis=0)
    errors = {}
    for rounding in ("rtn", "gptq"):
        method = Method(OFFSET4, "minmax", rounding, addends=("outliers", "sparse"))
        stored = augmented(matrix, method, h, inputs)
        assert stored.addends.outliers.columns.tolist() == [9]
        moved = stored.dequantize() - matrix
        errors[rounding] = np.einsum("rc,cd,rd->", moved, h, moved)
    assert errors["gptq"] < 0.5 * errors["rtn"]


def test_weights_beyond_float16_are_not_kept_apart():
    matrix = drawn()
    matrix[0, 0] = 1e6
    with pytest.raises(RecipeError, match="beyond float16"):
        augmented(matrix, Method(OFFSET4, "minmax", addends=("sparse",)))


def test_where_no_column_stands_out_the_file_is_that_of_plain_int8(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 40, (8, 16))
    files, logits = [], []
    for name, quant in (("plain", "int8-g0"), ("apart", "int8-g0:outliers")):
        path = tmp_path / f"{name}.edge"
        export(tiny_llama(), path, quant=quant, calib=tokens)
        files.append({n: i.sha256 for n, i in EdgeFile(path).tensors.items()})
        model = Model(EdgeFile(path), threads=1)
        logits.append(model.forward(tokens[0]).copy())
        model.close()
    assert files[0] == files[1]
    assert np.array_equal(*logits)


def test_outliers_of_a_models_inputs_are_found_and_taken_out(tmp_path):
    """Channels that a norm multiplies by 100, and the matrices after it by a hundredth."""
    source, tokens = golden("llama2"), np.random.default_rng(0).integers(0, 90, (8, 24))
    loud = [5, 20]
    for name, tensor in source.tensors.items():
        if "input_layernorm" in name:
            tensor[loud] *= 100
        elif any(f"self_attn.{part}_proj" in name for part in "qkv"):
            tensor[:, loud] /= 100
    logits = {}
    for quant in ("float32", "int8-g0", "int8-g0:outliers"):
        path = tmp_path / "m.edge"
        export(source, path, quant=quant, calib=None if quant == "int8-g0" else tokens)
        model = Model(EdgeFile(path), threads=2, kv="float32", context=32)
        logits[quant] = model.forward(tokens[0])[0].copy()
        model.close()
    file = EdgeFile(path)
    for part in ("query", "key", "value"):
        assert set(loud) <= {*file.read_indices(f"layers.0.attention.{part}.outlier_columns")}
    plain, apart = (
        np.linalg.norm(logits[q] - logits["float32"]) for q in ("int8-g0", "int8-g0:outliers")
    )
    assert 3 * apart < plain


@pytest.mark.parametrize("quant", ["gobo", "nf4:sparse+lorc", "int4-g64:sparse,output=int8:lorc"])
def test_an_export_writes_what_it_reports(tmp_path, quant):
    source = tiny_llama(tie_word_embeddings=False)
    source.tensors["lm_head.weight"] = drawn((40, 32))
    found = export(source, tmp_path / "m.edge", quant=quant)
    file = EdgeFile(tmp_path / "m.edge")
    parts = [name for name in file.tensors if name.rpartition(".")[2] in PARTS]
    assert parts and not any(name.startswith("embedding") for name in parts)
    size = sum(file.info(n).nbytes for n in file.tensors)
    assert found.bits_per_weight == pytest.approx(8 * size / file.document["parameters"])
    errors = {info.name: info.error for info in found.tensors}
    name, theirs = "layers.0.feed_forward.down.weight", "model.layers.0.mlp.down_proj.weight"
    moved = decoder_oracle.matrix(file, name) - source.tensors[theirs]
    relative = np.linalg.norm(moved) / np.linalg.norm(source.tensors[theirs])
    assert errors[name] == pytest.approx(relative, rel=1e-4)


def test_an_explanation_counts_what_is_beside(tmp_path):
    source = tiny_llama()
    plain, beside = (explain(source, quant) for quant in ("nf4", "nf4:sparse+lorc"))
    export(source, tmp_path / "m.edge", quant="nf4:sparse+lorc")
    file = EdgeFile(tmp_path / "m.edge")
    assert beside.bytes == sum(info.nbytes for info in file.tensors.values())
    assert plain.bytes < beside.bytes and beside.error < plain.error


def test_expected_bytes_are_those_of_the_tensors():
    matrix = drawn((40, 320), freedom=30)
    matrix[:, :20] *= 100
    names = ("outliers", "sparse", "lorc")
    stored = augmented(matrix, Method(OFFSET4, "minmax", addends=names))
    size = sum(
        spec.nbytes("indices" if values.ndim == 1 else "float16", values.shape)
        for values in stored.addends.tensors().values()
    )
    assert size == expected_bytes(names, matrix.shape)


@pytest.mark.parametrize("name", ADDENDS)
def test_every_addend_goes_with_every_grid(name):
    for base in ("int8", "int8-g0", "int4", "code4"):
        assert parse(f"{base}:{name}").body.addends == (name,)


@pytest.mark.parametrize(
    "recipe, reason",
    [
        ("float16:sparse", "leaves weights as they are"),
        ("keep:lorc", "leaves weights as they are"),
        ("mixed:5.5:sparse", "does not count what 'sparse' takes"),
    ],
)
def test_recipes_without_room_for_addends_refuse_them(recipe, reason):
    with pytest.raises(RecipeError, match=reason):
        parse(recipe)
