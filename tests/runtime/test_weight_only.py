"""Models whose activations stay floats are, to float accuracy, what their weights mean as floats."""

from pathlib import Path

import numpy as np
import pytest

from edge.errors import FormatError
from edge.exporter import export
from edge.format.dequantized import row_blocks
from edge.format.reader import EdgeFile
from edge.format.writer import EdgeWriter
from edge.runtime.encoder import Encoder
from edge.runtime.libraries.choice import library
from edge.runtime.libraries.plain import NumpyLibrary
from edge.runtime.model import Model
from tests.exporter import decoder_oracle
from tests.exporter.memory_source import golden
from tests.exporter.test_data_aware import badly_scaled, statistics_of
from tests.format import small_file
from tests.golden_folders import ENCODERS
from tests.runtime.test_addends import COLUMNS, ROWS, run

IDS = np.arange(1, 12)  # a block of 8 tokens and three alone
# Root mean square, as a share of the spread: some hundred sums of a hundred float32 products.
FLOAT, INT8 = 2e-6, 1e-3


@pytest.fixture(params=[library, NumpyLibrary], ids=["compiled", "numpy"])
def kernels(request):
    return request.param()


def as_floats(path: Path) -> Path:
    """A copy whose matrices are the floats that they mean."""
    file, copy = EdgeFile(path), path.with_suffix(".floats.edge")
    with EdgeWriter(copy, tensors=len(file.tensors)) as writer:
        for name, info in file.tensors.items():
            if info.format == "bytes":
                writer.add_bytes(name, bytes(file.view(name)[: info.shape[0]]))
            elif info.format == "vector":
                writer.add_vector(name, file.view(name).view("<f4")[: info.shape[0]])
            else:
                matrix = np.concatenate([block for _, block in row_blocks(file, name)])
                writer.add_float_matrix(name, matrix, "float32")
        writer.document = {
            k: v for k, v in file.document.items() if k not in ("tensors", "version")
        }
    return copy


def logits(path: Path, kernels) -> np.ndarray:
    model = Model(EdgeFile(path), threads=2, kernels=kernels, kv="float32", outputs=len(IDS))
    try:
        return model.forward(IDS, outputs=len(IDS)).copy()
    finally:
        model.close()


def vectors(path: Path, kernels) -> np.ndarray:
    encoder = Encoder(EdgeFile(path), threads=2, kernels=kernels)
    try:
        return encoder.embed([[2, *range(5, 14), 3], [2, 7, 3]])
    finally:
        encoder.close()


def distance(found, expected) -> float:
    return float(np.sqrt(np.square(found - expected).mean()) / expected.std())


@pytest.mark.parametrize("bits", ["3", "4", "5", "6", "8"])
@pytest.mark.parametrize("case", ["llama3", "smollm2"])  # an output matrix, and a tied one
def test_logits_are_those_of_the_dequantized_model(tmp_path, kernels, case, bits):
    path = tmp_path / "x.edge"
    export(golden(case), path, quant=f"w{bits}a16")
    expected = logits(as_floats(path), kernels)
    assert distance(logits(path, kernels), expected) < FLOAT
    export(golden(case), path, quant=f"w{bits}a8")
    assert distance(logits(path, kernels), expected) > INT8


@pytest.mark.parametrize("bits", ["4", "8"])
def test_vectors_are_those_of_the_dequantized_encoder(tmp_path, kernels, bits):
    path = tmp_path / "x.edge"
    export(ENCODERS / "bert", path, quant=f"w{bits}a16")
    expected = vectors(as_floats(path), kernels)
    assert distance(vectors(path, kernels), expected) < FLOAT
    export(ENCODERS / "bert", path, quant=f"w{bits}a8")
    assert distance(vectors(path, kernels), expected) > INT8


@pytest.mark.parametrize("quant", ["w4a16:awq_each", "w8a16:g0:lorc", "int8,*.down=w4a16"])
def test_what_rides_beside_a_matrix_reads_the_same_floats(tmp_path, quant):
    source, path = badly_scaled(), tmp_path / "x.edge"
    export(source, path, quant=quant, calib=statistics_of(source, tmp_path))
    found, expected = logits(path, library()), decoder_oracle.logits(path, IDS)
    assert distance(found, expected) < (FLOAT if quant.startswith("w") else 0.1)


def test_orders_and_factors_come_before_floats_as_before_codes(tmp_path, kernels):
    """a and b read the same in orders of their own, times factors; b reads codes, c x as it is."""
    forms = {"a": "int4-g32", "b": "int8-g64", "c": "code4-g32"}
    tensors = {f"{name}.weight": (form, (ROWS, COLUMNS)) for name, form in forms.items()}
    for name in "ab":
        tensors = small_file.with_order(tensors, name) | {
            f"{name}.in_scale": ("vector", (COLUMNS,))
        }
    small_file.write(
        tmp_path / "x.edge",
        tensors=tensors,
        contents={"a.in_order": np.arange(COLUMNS)[::-1]},
        activations={"a.weight": "float", "c.weight": "float"},
    )
    file, x = EdgeFile(tmp_path / "x.edge"), np.random.default_rng(0).normal(size=(9, COLUMNS))
    x = x.astype(np.float32)
    a, b, c = run(file, kernels, x)
    matrix = {
        name: decoder_oracle.alone(file, f"{name}.weight").astype(np.float64) for name in "abc"
    }
    factors = decoder_oracle.vector(file, "a.in_scale").astype(np.float64)
    assert distance(a, x[:, ::-1] * factors @ matrix["a"].T) < FLOAT
    assert distance(c, x @ matrix["c"].T) < FLOAT
    exact = x[:, decoder_oracle.order(file, "b")] * factors @ matrix["b"].T
    assert FLOAT < distance(b, exact) < 0.02


def test_the_scheme_is_in_the_header_of_all_that_is_multiplied(tmp_path):
    export(golden("llama3"), tmp_path / "x.edge", quant="w4a16kv8,*.down=int8")
    file = EdgeFile(tmp_path / "x.edge")
    schemes = {n: i.activation for n, i in file.tensors.items() if len(i.shape) == 2}
    of_rules = {name for name in schemes if name.endswith(".down.weight")}
    assert file.document["version"] == 3 and file.document["kv"] == "int8"
    assert of_rules and all(schemes[name] is None for name in of_rules)
    assert {scheme for name, scheme in schemes.items() if name not in of_rules} == {"float"}


def test_columns_taken_out_before_rounding_are_refused_where_nothing_is_rounded(tmp_path):
    name = small_file.LAYER + "attention.query"
    tensors = small_file.with_addends(small_file.TENSORS, name)
    path = tmp_path / "x.edge"
    small_file.write(path, tensors=tensors, activations={f"{name}.weight": "float"})
    with pytest.raises(FormatError, match=r"query.weight' is .* there are outlier columns"):
        Model(EdgeFile(path), threads=1)
