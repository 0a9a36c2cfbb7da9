"""Bias correction: outputs have the mean again that the float model gave them."""

import numpy as np
import pytest

from edge.exporter import export
from edge.exporter.architectures import lower
from edge.exporter.calibration.collect import collect
from edge.exporter.calibration.moments import SINK
from edge.exporter.language import parse
from edge.exporter.quantize import quantize
from edge.exporter.transforms import transform_layer, transform_model
from edge.exporter.transforms.bias_correct import bias_correct
from edge.exporter.weights import Weights
from edge.format.reader import EdgeFile
from tests.exporter import decoder_oracle
from tests.exporter.memory_source import golden, tiny_llama

OWN_BIASES = [f"layers.0.attention.{name}.bias" for name in ("query", "key", "value")]
UP, KEY = "layers.0.feed_forward.up", "layers.0.attention.key"


def calibrated(source, folder, windows=16):
    model = lower(source)
    ids = np.random.default_rng(0).integers(0, model.config.vocabulary, (windows, 32))
    return ids, collect(source, model, ids, folder / "stats")


def inputs_of_layer_0(source, ids):
    """What layer 0's query, key and value read, float64 [tokens, hidden]; sinks left out."""
    x = source.read("model.embed_tokens.weight")[ids].astype(np.float64)
    x /= np.sqrt((x**2).mean(axis=-1, keepdims=True) + source.config["rms_norm_eps"])
    x *= source.read("model.layers.0.input_layernorm.weight")
    return x[:, SINK:].reshape(-1, x.shape[-1])


@pytest.mark.parametrize("recipe", ["int4:bias_correct", "int4:hadamard+awq+bias_correct"])
def test_the_mean_output_of_every_channel_is_the_float_models(recipe, tmp_path):
    source = tiny_llama()
    ids, statistics = calibrated(source, tmp_path)
    weights, recipe = Weights(source, lower(source)), parse(recipe)
    transform_model(weights, recipe)
    transform_layer(weights, recipe, 0, statistics)
    name = f"{KEY}.weight"
    matrix = weights.read(name)
    moved = quantize(matrix, recipe.method(name)).dequantize() - matrix
    fitted = np.delete(ids, np.s_[7::8], axis=0)  # every eighth window is held out
    x = weights.inputs(name, inputs_of_layer_0(source, fitted))
    correction = bias_correct(weights, name, moved, statistics)
    spread = (x @ matrix.T).std(axis=0)
    before, after = (np.abs((x @ moved.T + b).mean(axis=0)) for b in (0, correction))
    assert (after < 1e-3 * spread).all() and (before > 1e-3 * spread).mean() > 0.5


def test_a_mean_that_held_out_tokens_do_not_share_is_left_alone(tmp_path):
    """The windows to judge by are of another token than those to choose by."""
    source = tiny_llama()
    ids = np.full((16, 32), 3)
    ids[7::8] = 5
    statistics = collect(source, lower(source), ids, tmp_path / "stats")
    moved = np.random.default_rng(0).normal(0, 1, (8, 32)).astype(np.float32)
    a, b = (part(f"{KEY}.weight").mean for part in (statistics.fit, statistics.held_out))
    moved -= np.outer(moved @ b, b) / (b @ b)  # nothing is moved on the held-out token
    assert np.abs(moved @ a).max() > 0.1
    weights = Weights(source, lower(source))
    assert bias_correct(weights, f"{KEY}.weight", moved.astype(np.float32), statistics) is None


def test_the_file_gets_biases_and_the_decoder_adds_them(tmp_path):
    """qwen2 has biases of its own at query, key and value, which are kept in the sum."""
    source = golden("qwen2")
    ids, statistics = calibrated(source, tmp_path, windows=64)
    logits = []
    for quant in ("float32", "int4:g128", "int4:g128:bias_correct"):
        path = tmp_path / "x.edge"
        export(source, path, quant=quant, calib=statistics)
        logits.append(np.vstack([decoder_oracle.logits(path, window) for window in ids[:4]]))
    file = EdgeFile(path)
    assert f"{UP}.bias" in file and f"{UP}.bias" not in {t.name for t in lower(source).tensors}
    own = {n: Weights(source, lower(source)).read(n) for n in file.tensors if n in OWN_BIASES}
    changes = [decoder_oracle.vector(file, n) - bias for n, bias in own.items()]
    assert any(c.any() for c in changes)
    assert all(
        np.abs(c).max() < np.abs(b).max() for c, b in zip(changes, own.values(), strict=True)
    )
    shifts = [np.abs((found - logits[0]).mean(axis=0)).mean() for found in logits[1:]]
    assert shifts[1] < shifts[0]
