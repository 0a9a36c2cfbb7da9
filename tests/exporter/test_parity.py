"""Our methods beside other packages' on the same matrices (tests/golden/make_quantization.py)."""

from pathlib import Path

import numpy as np
import oracle
import pytest

from edge.exporter.graph.quantization import rounded
from edge.exporter.layer_error import output_error
from edge.exporter.quantize import Method, quantize
from edge.format.formats import WeightFormat

GOLDENS = Path(__file__).parents[1] / "golden" / "quantization"


@pytest.mark.parametrize(
    "name, form, scales",
    [
        ("offset", WeightFormat("int4", 32, True), "minmax"),
        ("offset_ordered", WeightFormat("int4", 32, True), "minmax"),
        ("symmetric", WeightFormat("int4", 32), "signed_absmax"),
    ],
)
def test_gptq_is_within_a_hundredth_of_gptqmodel_or_better(name, form, scales):
    """In tr(D H D^T), the measure that both minimize; both at 4 bits in groups of 32, damp 0.01.

    Ours is the lower by far here, where channels differ much in size: theirs takes them in order,
    or (ordered, `desc_act`) by size, with scales that were fitted to what is left of the weights.
    """
    golden = np.load(GOLDENS / "gptq.npz")
    weights, h = golden["weights"], golden["h"]
    ours = output_error(
        quantize(weights, Method(form, scales, "gptq"), h).dequantize() - weights, h
    )
    theirs = output_error(golden[name] - weights, h)
    nearest = output_error(quantize(weights, Method(form, scales)).dequantize() - weights, h)
    assert ours <= 1.01 * theirs and theirs < nearest


@pytest.mark.parametrize("package", ["onnxruntime", "torch"])
def test_an_int8_product_differs_by_less_than_a_hundredth(package):
    """Weights a scale a row, activations rounded at run time: ours a token, theirs a tensor."""
    golden = np.load(GOLDENS / "int8_linear.npz")
    x, weights = golden["x"], golden["weights"]
    stored = quantize(weights, Method(WeightFormat("int8"), "absmax"))
    codes, scales = oracle.quantize(x, x.shape[1])
    ours = (codes * scales.astype(np.float64)) @ stored.dequantize().T
    theirs = golden[package]
    assert np.linalg.norm(ours - theirs) < 0.01 * np.linalg.norm(theirs)
    exact = x.astype(np.float64) @ weights.T
    assert np.linalg.norm(ours - exact) < 1.05 * np.linalg.norm(theirs - exact)


def test_a_product_with_fixed_scales_is_nearer_to_the_exact_one_than_torchs():
    """torch rounds its outputs to 8 bits, too, some 1 % of them; ours are floats.

    They differ from each other by no more than two independent errors do.
    """
    golden = np.load(GOLDENS / "int8_static.npz")
    x, weights, theirs = golden["x"], golden["weights"], golden["y"]
    stored = quantize(weights, Method(WeightFormat("int8"), "absmax"))
    ours = rounded(x, np.abs(x).max() / np.float32(127)) @ stored.dequantize().T.astype(np.float64)
    exact = x.astype(np.float64) @ weights.T
    errors = [np.linalg.norm(y - exact) / np.linalg.norm(exact) for y in (ours, theirs)]
    assert errors[0] < 0.01 and errors[0] < 0.8 * errors[1]
    assert np.linalg.norm(ours - theirs) < np.linalg.norm(errors) * np.linalg.norm(exact)
