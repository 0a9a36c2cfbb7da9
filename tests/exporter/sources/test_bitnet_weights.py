"""BitNet checkpoints: packed trits, and training weights rounded as the forward pass does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import SourceError, UnsupportedModel
from edge.exporter.sources.huggingface import HuggingFaceSource
from edge.format.formats import WeightFormat

rng = np.random.default_rng(0)
NAME = "model.layers.0.mlp.up_proj.weight"


def packed(trits: np.ndarray) -> np.ndarray:
    """transformers' pack_weights: byte r holds rows r, r + n, r + 2n, r + 3n of 4n."""
    quarters = (trits + 1).astype(np.uint8).reshape(4, len(trits) // 4, -1)
    return quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6


def bfloat16(values: np.ndarray) -> np.ndarray:
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


@pytest.fixture
def checkpoint(tmp_path: Path, write_safetensors):
    """Writes and opens a BitNet folder: checkpoint(quantization settings, tensors)."""

    def write(settings: dict[str, Any], tensors: dict[str, Any]) -> HuggingFaceSource:
        config = {
            "model_type": "bitnet",
            "quantization_config": {"quant_method": "bitnet"} | settings,
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        write_safetensors(tmp_path / "model.safetensors", tensors)
        return HuggingFaceSource(tmp_path)

    return write


@pytest.mark.parametrize(
    "linear_class, scale", [("autobitlinear", 0.375), ("bitlinear", 1 / 0.375)]
)
def test_packed_weights_are_ternary_with_one_scale(checkpoint, linear_class, scale):
    trits = rng.integers(-1, 2, (12, 8))
    stored = np.array([scale], np.float32)
    tensors = {NAME: ("U8", packed(trits)), NAME + "_scale": ("F32", stored)}

    source = checkpoint({"linear_class": linear_class}, tensors)
    kept = source.kept(NAME)

    assert list(source.names()) == [NAME] and source.shape(NAME) == (12, 8)
    assert kept is not None and kept.format == WeightFormat("ternary")
    assert (kept.codes == trits + 1).all()
    assert source.read(NAME) == pytest.approx(trits * 0.375)


def test_the_scale_may_be_bfloat16(checkpoint):
    tensors = {
        NAME: ("U8", packed(np.ones((4, 4), int))),
        NAME + "_scale": ("BF16", bfloat16(np.array([1.5]))),
    }

    source = checkpoint({"linear_class": "autobitlinear"}, tensors)

    assert (source.read(NAME) == 1.5).all()


def test_layers_that_are_not_packed_are_read_as_they_are(checkpoint):
    values = rng.normal(size=(4, 4)).astype(np.float32)

    source = checkpoint({}, {"lm_head.weight": ("F32", values), NAME: ("F32", values)})

    assert source.kept(NAME) is None and (source.read(NAME) == values).all()


def test_training_weights_are_rounded_to_their_mean_magnitude(checkpoint):
    values = rng.normal(size=(8, 16)).astype(np.float32)
    tensors = {NAME: ("F32", values), "model.norm.weight": ("F32", values[0])}

    source = checkpoint({"quantization_mode": "online"}, tensors)
    kept = source.kept(NAME)

    mean = np.abs(values).mean()
    assert kept is not None and (kept.codes == np.clip(np.round(values / mean), -1, 1) + 1).all()
    assert source.read(NAME) == pytest.approx((kept.codes.astype(float) - 1) * mean, rel=1e-6)
    assert source.kept("model.norm.weight") is None


def test_training_weights_in_bfloat16_have_a_bfloat16_scale(checkpoint):
    values = bfloat16(rng.normal(size=(8, 16)))

    source = checkpoint({"quantization_mode": "online"}, {NAME: ("BF16", values)})
    kept = source.kept(NAME)

    assert kept is not None
    assert (kept.scales.view(np.uint32) & 0xFFFF == 0).all()
    mean = np.abs((values.astype(np.uint32) << 16).view(np.float32)).mean()
    assert kept.scales[0, 0] == pytest.approx(mean, rel=2**-8)


def test_excluded_layers_are_not_rounded(checkpoint):
    values = rng.normal(size=(8, 16)).astype(np.float32)
    settings = {"quantization_mode": "online", "modules_to_not_convert": ["up_proj"]}

    assert checkpoint(settings, {NAME: ("F32", values)}).kept(NAME) is None


@pytest.mark.parametrize(
    "tensor, scale, message",
    [
        (np.full((2, 4), 0xFF, np.uint8), np.ones(1, np.float32), "code 3"),
        (np.zeros((2, 4), np.uint8), np.ones(2, np.float32), "one scale"),
        (np.zeros(8, np.uint8), np.ones(1, np.float32), "expected a matrix"),
        (np.zeros((2, 4), np.uint8), np.zeros(1, np.float32), "scale is not usable"),
        (np.zeros((2, 4), np.uint8), np.full(1, np.nan, np.float32), "scale is not usable"),
    ],
)
def test_packed_weights_that_make_no_sense_are_refused(checkpoint, tensor, scale, message):
    with pytest.raises(SourceError, match=message):
        checkpoint({}, {NAME: ("U8", tensor), NAME + "_scale": ("F32", scale)}).read(NAME)


@pytest.mark.parametrize(
    "settings", [{"linear_class": "x"}, {"quantization_mode": "x"}, {"use_rms_norm": True}]
)
def test_other_bitnet_layers_are_refused(checkpoint, settings):
    with pytest.raises(UnsupportedModel, match="BitNet layers"):
        checkpoint(settings, {NAME: ("F32", np.ones((4, 4), np.float32))})
