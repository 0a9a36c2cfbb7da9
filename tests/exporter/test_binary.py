"""Binary weights: stored as they were trained, and rounded as their papers say."""

import numpy as np
import oracle
import pytest

from edge.errors import RecipeError
from edge.exporter import export
from edge.exporter.quantize import Method, quantize
from edge.format.formats import WeightFormat
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from tests.exporter import decoder_oracle
from tests.exporter.memory_source import MemorySource, golden

TERNARY = WeightFormat("ternary")
IDS = np.random.default_rng(2).integers(0, 90, 16)
FLOAT_ENDS = "binary,embedding=float32"  # so that codes are those of the layers' inputs alone


def drawn(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Normal weights whose mean is not 0."""
    return np.random.default_rng(seed).normal(0.01, 0.05, (rows, columns)).astype(np.float32)


def b1(matrix: np.ndarray) -> np.ndarray:
    """sign(W - mean(W)) mean|W| (BitNet, arXiv:2310.11453)."""
    wide = matrix.astype(np.float64)
    return np.where(wide > wide.mean(), 1, -1) * np.float32(np.abs(wide).mean())


def layers(source: MemorySource) -> list[str]:
    return [n for n, w in source.tensors.items() if "_proj" in n and w.ndim == 2]


def master() -> MemorySource:
    """A toy BitNet b1: norms before its output and down projections, weights as training has them."""
    source = golden("bitnet")
    for i, name in enumerate(layers(source)):
        source.tensors[name] = drawn(*source.tensors[name].shape, seed=i)
    return source


def binarized() -> MemorySource:
    """The same as its forward pass has it."""
    source = master()
    for name in layers(source):
        source.tensors[name] = b1(source.tensors[name]).astype(np.float32)
    return source


@pytest.mark.parametrize("rows, columns", [(17, 100), (600, 1024)])
def test_weights_are_rounded_as_bitnet_b1_rounds_them(rows, columns):
    """By numbers of the whole matrix, also where it is more than one block of rows."""
    matrix = drawn(rows, columns)
    found = quantize(matrix, Method(TERNARY, "absmean_all", "sign_centred"))
    np.testing.assert_allclose(found.dequantize(), b1(matrix), rtol=1e-6)
    assert {*np.unique(found.codes)} == {0, 2}


def test_no_scale_is_nearer_to_a_row_of_signs_than_its_mean_magnitude():
    """XNOR-Net's alpha: the least of ||W - alpha B||."""
    matrix = drawn(32, 256)
    found = quantize(matrix, Method(TERNARY, "absmean", "sign"))
    signs = np.where(matrix < 0, -1, 1)
    assert (found.codes == signs + 1).all()

    def errors(scales):
        return np.square(matrix - scales * signs).sum(axis=1)

    best = errors(found.scales.astype(np.float64))
    for step in (0.999, 1.001):
        assert (best < errors(found.scales * step)).all()


def test_trained_binary_weights_are_stored_without_loss(tmp_path):
    source = binarized()
    report = export(source, tmp_path / "m.edge", quant="binary")
    file = EdgeFile(tmp_path / "m.edge")
    infos = [i for i in report.tensors if len(i.shape) == 2 and i.name.startswith("layers")]
    assert {(i.format, i.error) for i in infos} == {("ternary", 0.0)} and not report.notes
    found = decoder_oracle.matrix(file, "layers.0.feed_forward.down.weight")
    np.testing.assert_array_equal(found, source.tensors["model.layers.0.mlp.down_proj.weight"])


@pytest.mark.parametrize("source", [master(), golden("bitnet")], ids=["floats", "ternary"])
def test_what_is_not_binary_becomes_so_only_by_force(source, tmp_path):
    with pytest.raises(RecipeError, match="is not binary.*--force"):
        export(source, tmp_path / "m.edge", quant="binary")
    assert list(tmp_path.iterdir()) == []
    report = export(source, tmp_path / "m.edge", quant="binary", force=True)
    assert "were not binary and were rounded by force" in report.notes[0]
    assert "not trained with binary weights" in report.cautions[0]


class Coded(decoder_oracle._Pass):
    """BitLinear: what a layer's matrix reads has one scale a token, its largest being 127."""

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        codes, scales = oracle.quantize(x.astype(np.float32), x.shape[1])
        return super().linear(name, codes * scales.astype(np.float64))


@pytest.mark.parametrize("force", [False, True], ids=["binarized", "master weights"])
def test_a_toy_of_bitnet_b1_computes_its_forward_pass(tmp_path, force):
    path, reference = tmp_path / "m.edge", tmp_path / "float.edge"
    export(master() if force else binarized(), path, quant=FLOAT_ENDS, force=force)
    export(binarized(), reference, quant="float32")
    file = EdgeFile(reference)
    read = {True: decoder_oracle.matrix, False: decoder_oracle.vector}
    weights = {n: read[len(i.shape) == 2](file, n) for n, i in file.tensors.items()}
    wide = {name: values.astype(np.float64) for name, values in weights.items()}
    expected = Coded(file.config, wide, len(IDS)).logits(IDS)
    model = Model(EdgeFile(path), threads=1, kv="float32", outputs=len(IDS))
    found = model.forward(IDS.tolist(), outputs=len(IDS)).copy()
    model.close()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
