"""What a recipe is said to do before it is done, against what it does."""

import numpy as np
import pytest

from edge.errors import SourceError
from edge.exporter import export
from edge.exporter.explain import explain
from tests.exporter.memory_source import golden, tiny_llama


@pytest.mark.parametrize("quant", ["int8", "int4-search", "int4-attention8", "float16", "mixed:6"])
def test_bytes_and_errors_are_those_of_the_export(quant, tmp_path):
    source = golden("smollm2")
    plan, report = explain(source, quant), export(source, tmp_path / "m.edge", quant=quant)
    tensors = [info for info in report.tensors if info.format != "bytes"]
    assert plan.bytes == sum(info.nbytes for info in tensors)
    assert plan.bits_per_weight == pytest.approx(report.bits_per_weight)
    weights = {t.name: t for t in tensors if len(t.shape) == 2}
    formats = {form for form in (c.format for c in plan.classes) if form != "vector"}
    assert formats == {t.format for t in weights.values()}
    # At most 128 rows of up to three matrices of a kind stand for all: these have more.
    errors = [t.error for t in weights.values()]
    assert min(errors) * 0.9 <= plan.error <= max(errors) * 1.1


def test_what_is_rounded_by_data_is_predicted_by_what_needs_none():
    source = tiny_llama()
    assert explain(source, "int4:awq+gptq").error == pytest.approx(explain(source, "int4").error)


def test_time_is_counted_for_every_step_that_a_recipe_has():
    source, ids = tiny_llama(), np.ones((4, 32), np.int64)
    plain, by_data = explain(source, "int4"), explain(source, "int4:awq+gptq", calib=ids)
    assert plain.seconds.calibrate == plain.seconds.transform == 0 < plain.seconds.quantize
    assert min(by_data.seconds.calibrate, by_data.seconds.transform) > 0
    steps = ("read", "calibrate", "transform", "quantize")
    assert by_data.seconds.total == sum(getattr(by_data.seconds, step) for step in steps)
    assert by_data.to_json()["seconds"]["total"] == by_data.seconds.total


def test_more_text_takes_longer():
    source = tiny_llama()
    few, many = (
        explain(source, "int4:gptq", calib=np.ones((n, 32), np.int64)).seconds for n in (1, 10**5)
    )
    assert many.calibrate > few.calibrate


def test_what_cannot_be_calibrated_with_is_refused_here_too():
    with pytest.raises(SourceError, match="expected token ids"):
        explain(tiny_llama(), "int4:gptq", calib=np.zeros((2, 3)))


@pytest.mark.parametrize(
    "quant, words",
    [
        ("int8", []),
        ("float16", []),
        ("int4", ["4 bits without calibration on a model of 0 million weights"]),
        ("int4:gptq", ["4 bits on a model of 0 million weights cost more"]),
        ("int2", ["2 bits on a model of 0 million weights ruin it"]),
        ("ternary", ["was not trained with ternary weights"]),
    ],
)
def test_cautions_are_given_in_words(quant, words):
    found = explain(tiny_llama(), quant).cautions
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_a_ternary_model_is_not_warned_of():
    assert explain(golden("bitnet"), "ternary").cautions == ()
