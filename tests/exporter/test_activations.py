"""What activations are rounded to: schemes that a recipe names, a file keeps and a plan obeys."""

import numpy as np
import pytest

from edge.errors import FormatError, RecipeError
from edge.exporter import export
from edge.exporter.architectures import lower
from edge.exporter.calibration.collect import collect
from edge.exporter.language import parse
from edge.exporter.transforms import transform_layer
from edge.exporter.transforms.folds import folds
from edge.exporter.weights import Weights
from edge.format.reader import EdgeFile
from edge.runtime.libraries.plain import NumpyLibrary
from edge.runtime.model import Model
from tests.exporter import decoder_oracle
from tests.exporter.memory_source import golden, tiny_llama
from tests.exporter.test_data_aware import badly_scaled, reader_error, statistics_of
from tests.format import small_file

IDS = np.arange(1, 9)
DOWN = "layers.0.feed_forward.down.weight"


def run(path, **options) -> np.ndarray:
    model = Model(EdgeFile(path), threads=1, outputs=8, **options)
    try:
        return model.forward(IDS, outputs=8).copy()
    finally:
        model.close()


def distance(found, expected) -> float:
    """Root mean square of the difference, as a share of the spread of what is expected."""
    return float(np.sqrt(np.square(found - expected).mean()) / expected.std())


@pytest.mark.parametrize("quant", ["w8a8", "w8a8t", "w8a8s", "w4a8t", "w4a8s:g64"])
def test_a_scheme_of_the_recipe_is_in_the_header_and_in_the_plan(quant, tmp_path):
    source, path = golden("llama3"), tmp_path / "x.edge"
    statistics = statistics_of(source, tmp_path)
    export(source, path, quant=quant, calib=statistics if "a8s" in quant else None)
    file = EdgeFile(path)
    infos = [i for i in file.tensors.values() if len(i.shape) == 2 and i.name.startswith("layers")]
    found = {info.activation for info in infos}
    assert file.document["version"] == (1 if quant == "w8a8" else 2)
    if quant == "w8a8":
        assert found == {None}
    elif "t" in quant:
        assert found == {"token"}
    else:
        largest = statistics.fit(DOWN).largest.max()
        assert file.info(DOWN).activation == pytest.approx(largest / 127)
        query, key = (file.info(DOWN.replace("feed_forward.down", n)).activation
                      for n in ("attention.query", "attention.key"))  # fmt: skip
        assert query == key and len(found) == 4 * file.config.layers
    assert file.info("embedding.weight").activation is None
    # Of values of a bell in 127 steps to its largest, four sigma, one code is off by 1 % of sigma;
    # eight products one after the other and the smaller half of the values make it some percent.
    assert distance(run(path), decoder_oracle.logits(path, IDS)) < 0.1


def test_a_scheme_of_rows_is_a_scale_a_token_anyway(tmp_path):
    export(tiny_llama(), tmp_path / "x.edge", quant="w8a8t:g0")
    assert EdgeFile(tmp_path / "x.edge").info(DOWN).activation is None


def test_one_scale_a_token_loses_more_than_one_a_group(tmp_path):
    """Outliers in one channel of the input of gate and up."""
    source = tiny_llama(hidden_size=32)
    for name, factor in (("gate_proj", 1 / 300), ("up_proj", 1 / 300)):
        source.tensors[f"model.layers.0.mlp.{name}.weight"][:, 3] *= factor
    source.tensors["model.layers.0.post_attention_layernorm.weight"][3] *= 300
    errors = []
    for quant in ("w8a8", "w8a8t", "w8a8s"):
        export(source, tmp_path / "x.edge", quant=quant, calib=np.tile(IDS, (16, 1)))
        errors.append(
            distance(run(tmp_path / "x.edge"), decoder_oracle.logits(tmp_path / "x.edge", IDS))
        )
    assert errors[0] <= errors[1] * 1.05 <= errors[2] * 1.1 and errors[0] < errors[2]


def test_smoothing_first_makes_a_static_scale_of_outliers_usable(tmp_path):
    """SmoothQuant's O3: the range of a few channels moves into the weights."""
    source = tiny_llama()
    source.tensors["model.layers.0.post_attention_layernorm.weight"][3] *= 300
    errors = []
    for quant in ("w8a8s", "w8a8s:smooth"):
        export(source, tmp_path / "x.edge", quant=quant, calib=np.tile(IDS, (16, 1)))
        export(source, tmp_path / "float.edge", quant="float32")
        expected = decoder_oracle.logits(tmp_path / "float.edge", IDS)
        errors.append(distance(run(tmp_path / "x.edge"), expected))
    assert errors[1] < 0.5 * errors[0]


def test_a_static_scale_needs_a_text_and_a_layer(tmp_path):
    assert parse("w8a8s").needs_data and not parse("w8a8t").needs_data
    with pytest.raises(RecipeError, match="chooses by what the model reads"):
        export(tiny_llama(), tmp_path / "x.edge", quant="w4a8s")
    with pytest.raises(RecipeError, match="'embedding' has no input that calibration sees"):
        export(tiny_llama(), tmp_path / "x.edge", quant="int8,embedding=w8a8s", calib=IDS[None])


# --- factors beside a matrix ----------------------------------------------------------------------


@pytest.mark.parametrize("quant", ["int4:awq_each", "w8a8t:awq_each:g0", "w4a8s:awq_each"])
def test_factors_beside_matrices_are_undone_at_run_time(quant, tmp_path):
    source, path = badly_scaled(), tmp_path / "x.edge"
    export(source, path, quant=quant, calib=statistics_of(source, tmp_path))
    file = EdgeFile(path)
    factors = [name for name in file.tensors if name.endswith(".in_scale")]
    assert len(factors) == 7 and file.document["version"] == 2
    assert any(np.ptp(decoder_oracle.vector(file, name)) > 0.1 for name in factors)
    expected = decoder_oracle.logits(path, IDS)
    assert distance(run(path), expected) < 0.1


def test_the_plain_kernels_multiply_too(tmp_path):
    source, path = badly_scaled(), tmp_path / "x.edge"
    export(source, path, quant="w4a8t:awq_each", calib=statistics_of(source, tmp_path))
    np.testing.assert_allclose(run(path, kernels=NumpyLibrary()), run(path), atol=2e-3)


def test_factors_alone_lower_the_error_of_every_output(tmp_path):
    source = badly_scaled()
    model, recipe = lower(source), parse("int4:awq_each")
    statistics = collect(source, model, np.tile(IDS, (16, 4)), tmp_path / "s")
    plain, moved = Weights(source, model), Weights(source, model)
    transform_layer(moved, recipe, 0, statistics)
    for name in (reader for fold in folds(plain, 0) for reader in fold.readers):
        before, after = (reader_error(w, name, recipe, statistics) for w in (plain, moved))
        assert after <= before * (1 + 1e-3)
        product = moved.factors[name].columns * moved.in_scale(name)
        np.testing.assert_allclose(product, 1, rtol=1e-6)


def with_in_scale(path, size, beside="layers.0.attention.query"):
    tensors = small_file.TENSORS | {f"{beside}.in_scale": ("vector", (size,))}
    small_file.write(path, tensors=tensors)
    return path


def test_factors_of_another_length_or_of_floats_are_refused(tmp_path):
    path = with_in_scale(tmp_path / "x.edge", small_file.HIDDEN + 1)
    with pytest.raises(
        FormatError, match=r"query.in_scale' is vector of 33, expected a vector of 32"
    ):
        run(path)
    path = with_in_scale(tmp_path / "x.edge", small_file.HIDDEN, "layers.0.feed_forward.up")
    with pytest.raises(FormatError, match=r"up.weight' is float16 .* expected codes"):
        run(path)
