"""Quantized Hugging Face checkpoints: decoded as the tools that wrote them decode them."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from edge.exporter.sources.huggingface import HuggingFaceSource
from edge.format.formats import QuantizedTensor

GOLDEN = Path(__file__).parents[2] / "golden" / "quantized"
CASES = sorted(path.stem for path in GOLDEN.glob("*.safetensors"))
NAME = "layer.weight"
KEPT = {  # what a matrix stays in; None: no grid of ours
    "awq-gemm": "int4-g32-offset",
    "awq-gemv": "int4-g32-offset",
    "bitnet-auto": "ternary",
    "bitnet-linear": "ternary",
    "bnb-fp4": "code4-g64",
    "bnb-int8": "int8",
    "bnb-nf4": "code4-g64",
    "bnb-nf4-double": "code4-g64",
    "ct-act-order": "int4-g32",
    "ct-act-order-int8": "int8-g32",
    "ct-float8": None,
    "ct-float8-blocks": None,
    "ct-float8-tensor": None,
    "ct-int8": "int8",
    "ct-int8-asymmetric": None,  # a code less its zero point takes more than 8 bits
    "ct-naive-4": "int4-g32",
    "ct-packed-3": "int4-g128",
    "ct-packed-4": "int4-g32",
    "ct-packed-4-asymmetric": "int4-g32-offset",
    "ct-packed-8": "int8",
    "gptq-2-asymmetric": "int4-g32",
    "gptq-2-symmetric": "int4-g32",
    "gptq-3-asymmetric": "int4-g32",
    "gptq-3-symmetric": "int4-g32",
    "gptq-4-asymmetric": "int4-g32-offset",
    "gptq-4-symmetric": "int4-g32",
    "gptq-8-asymmetric": None,
    "gptq-8-symmetric": "int8-g32",
    "gptq-act-order": "int4-g32-offset",
    "gptq-act-order-symmetric": "int4-g32",
    "gptq-v2": "int4-g32-offset",
}
# Scaled by 1/127 and by the row's scale one after the other, where we have one rounding.
TWICE_ROUNDED = ("bitnet-linear", "bnb-int8")


@pytest.fixture
def opened(tmp_path):
    """A golden case as a model folder."""

    def opened(case: str) -> HuggingFaceSource:
        weights = tmp_path / "model.safetensors"
        shutil.copy(GOLDEN / f"{case}.safetensors", weights)
        (size,) = struct.unpack("<Q", weights.read_bytes()[:8])
        metadata = json.loads(weights.read_bytes()[8 : 8 + size])["__metadata__"]
        config = {"model_type": "llama", "quantization_config": json.loads(metadata["config"])}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return HuggingFaceSource(tmp_path)

    return opened


def rounded_like(values: np.ndarray, dtype: str) -> np.ndarray:
    """float32 values as a float type holds them, ties to even; as float32."""
    if dtype == "BF16":
        bits = values.view(np.uint32)
        return (bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000).view(np.float32)
    return values.astype({"F16": np.float16, "F32": np.float32}[dtype]).astype(np.float32)


def test_every_golden_case_is_expected_to_stay_or_not():
    assert sorted(KEPT) == CASES


@pytest.mark.parametrize("case", CASES)
def test_weights_are_those_of_the_tool_that_wrote_them(opened, case):
    """Bit for bit in the tool's own precision, once we round as it does."""
    source = opened(case)
    assert sorted(source.names()) == ["expected", NAME]
    assert source.shape(NAME) == (32, 64)
    values, expected = source.read(NAME), source.read("expected")
    assert values.dtype == np.float32 and values.shape == (32, 64)
    if case in TWICE_ROUNDED:
        np.testing.assert_allclose(values, expected, rtol=2**-22)
        return
    dtype = source._tensors.entry("expected").dtype
    np.testing.assert_array_equal(rounded_like(values, dtype), expected)


@pytest.mark.parametrize("case", CASES)
def test_what_stays_on_its_grid_keeps_its_weights(opened, case):
    source = opened(case)
    kept = source.kept(NAME)
    assert (None if kept is None else str(kept.format)) == KEPT[case]
    if kept is not None:
        off = np.abs(kept.dequantize() - source.read(NAME))
        assert (off <= rounding_of(kept)).all()


@pytest.mark.parametrize(
    "case", ["gptq-act-order", "gptq-act-order-symmetric", "ct-act-order", "ct-act-order-int8"]
)
def test_scattered_columns_of_a_group_are_put_side_by_side(opened, case):
    source = opened(case)
    kept, groups = source.kept(NAME), source._tensors
    (name,) = (name for name in groups if name.endswith("g_idx"))
    assert groups.stored(name)[kept.order].tolist() == [0] * 32 + [1] * 32
    assert (np.diff(kept.order) < 0).sum() == 1  # within a group as they were
    assert source.reorders and not opened("ct-packed-4").reorders


def rounding_of(kept: QuantizedTensor) -> np.ndarray:
    """How far float16 offsets (and the float32 sums that follow) move weights, half a bit off at
    most, or int8 levels and their float16 scales [rows, columns]."""
    if kept.codebooks is not None:
        largest = kept.scales * (0.5 + 127 * 2.0**-10)
    elif kept.offsets is not None:
        largest = np.abs(kept.offsets) * (2.0**-11 + 2.0**-22) + np.abs(kept.scales) * 2.0**-19
    else:
        return np.zeros(kept.shape)
    moved = np.repeat(largest, kept.format.group, axis=1)[:, : kept.shape[1]]
    return moved if kept.order is None else moved[:, np.argsort(kept.order)]
