"""Allocation: the best choice there is, within the budget."""

from functools import partial
from itertools import chain, product

import numpy as np
import pytest

from edge.errors import RecipeError
from edge.exporter import ExportReport, export
from edge.exporter.allocation import sensitivity
from edge.exporter.allocation.ilp import choose
from edge.exporter.allocation.mixed import FORMATS
from edge.exporter.architectures import lower
from edge.exporter.calibration import divergence
from edge.exporter.calibration.collect import collect
from edge.exporter.calibration.divergence import divergences
from edge.exporter.language import parse
from edge.exporter.weights import Weights
from edge.format.spec import TensorInfo
from tests.exporter.memory_source import golden


def brute_force(errors, costs, budget):
    every = product(range(errors.shape[1]), repeat=len(errors))
    rows = np.arange(len(errors))
    return min(errors[rows, c].sum() for c in every if costs[rows, c].sum() <= budget)


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_is_as_good_as_trying_all(seed):
    random = np.random.default_rng(seed)
    costs = random.integers(1, 9, (6, 3)).astype(float)
    errors = np.sort(random.random((6, 3)), axis=1)[:, ::-1]
    budget = float(costs.min(axis=1).sum() + random.integers(0, 12))
    chosen = choose(errors, costs, budget)
    rows = np.arange(6)
    assert costs[rows, chosen].sum() <= budget
    assert errors[rows, chosen].sum() == pytest.approx(brute_force(errors, costs, budget))


def test_a_budget_that_cannot_be_met_has_no_choice():
    assert choose(np.ones((2, 2)), np.full((2, 2), 3.0), 5.9) is None
    assert choose(np.ones((2, 2)), np.full((2, 2), 3.0), 6.0) is not None


def test_a_mixed_export_stays_within_its_bits(tmp_path):
    report = export(golden("llama3"), tmp_path / "x.edge", quant="mixed:7.9:mse")
    body = body_of(report)
    bits = 8 * sum(t.nbytes for t in body) / sum(np.prod(t.shape) for t in body)
    assert bits <= 7.9
    assert {t.format for t in body} <= {str(form) for form in FORMATS}
    assert len({t.format for t in body}) > 1
    assert report.recipe == "mixed:7.9:mse"


def test_a_rule_goes_before_the_allocation(tmp_path):
    quant = "mixed:9,*.query=float16"
    report = export(golden("llama3"), tmp_path / "x.edge", quant=quant)
    formats = {t.format for t in report.tensors if ".query" in t.name}
    assert formats == {"float16"}


def test_too_few_bits_are_refused_with_the_least(tmp_path):
    with pytest.raises(RecipeError, match=r"into 2 bits a weight; this model takes \d"):
        export(golden("llama3"), tmp_path / "x.edge", quant="mixed:2")
    assert not list(tmp_path.iterdir())


def body_of(report: ExportReport) -> list[TensorInfo]:
    return [t for t in report.tensors if t.name.startswith("layers.") and len(t.shape) == 2]


def nbytes(report: ExportReport) -> int:
    return sum(t.nbytes for t in body_of(report))


SPEEDS = {str(form): 10.0 for form in FORMATS}


def test_milliseconds_are_a_budget_too(tmp_path):
    """All formats as fast as each other: a token's bytes over 10 GB/s."""
    export_ = partial(export, golden("llama3"), tmp_path / "x.edge")
    budget = 1.3e3 * nbytes(export_(quant="int4")) / 10e9
    report = export_(quant=f"mixed:{budget:.3f}ms", speeds=SPEEDS)
    assert nbytes(report) / 10e9 * 1e3 <= round(budget, 3)
    assert len({t.format for t in body_of(report)}) > 1


def test_what_is_slow_on_the_device_is_not_chosen(tmp_path):
    slow = {name: 0.01 if name.startswith("int4") else rate for name, rate in SPEEDS.items()}
    report = export(golden("llama3"), tmp_path / "x.edge", quant="mixed:0.1ms", speeds=slow)
    assert not [t.format for t in report.tensors if t.format.startswith("int4")]


def test_what_was_written_for_a_device_of_other_speeds_is_not_used(tmp_path):
    def stop(done, total):
        if done > total // 2:
            raise KeyboardInterrupt

    output, slow = tmp_path / "x.edge", SPEEDS | {"int8-g32": 0.01, "int8-g128": 0.01}
    with pytest.raises(KeyboardInterrupt):
        export(golden("llama3"), output, quant="mixed:0.2ms", speeds=SPEEDS, progress=stop)
    report = export(golden("llama3"), output, quant="mixed:0.2ms", speeds=slow)
    assert not [t.name for t in body_of(report) if t.format.startswith("int8")]


@pytest.mark.parametrize(
    "speeds, expected",
    [
        (None, "how fast is the device.*--doctor FILE"),
        ({}, "no speed of .* was measured"),
        (SPEEDS, r"no formats fit into 0 ms; this model takes 0\.\d+ at least"),
    ],
)
def test_milliseconds_that_cannot_be_told_or_met_are_refused(speeds, expected, tmp_path):
    with pytest.raises(RecipeError, match=expected):
        export(
            golden("llama3"),
            tmp_path / "x.edge",
            quant="mixed:0ms" if speeds is SPEEDS else "mixed:9ms",
            speeds=speeds,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["mixed", "mixed:", "mixed:many", "mixed:hqq"])
def test_mixed_wants_a_number(text):
    with pytest.raises(RecipeError, match="like mixed:5.5"):
        parse(text)


# --- measured divergence --------------------------------------------------------------------------


def tokens(vocabulary: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, vocabulary, (9, 24))


def body(weights: Weights) -> list[str]:
    tensors = weights.model.tensors
    return [t.name for t in tensors if len(t.shape) == 2 and t.name.startswith("layers.")]


def measured(weights: Weights, groups: list[list[str]]) -> list[float]:
    ids = tokens(weights.model.config.vocabulary)
    return list(divergences(weights, ids, groups, lambda done, total: None))


def test_every_matrix_is_worth_something_and_is_put_back():
    source = golden("llama3")
    weights = Weights(source, lower(source))
    names = body(weights)
    nats = measured(weights, [*([name] for name in names), names, [names[0]]])
    assert all(n > 0 for n in nats)
    assert nats[-1] == nats[0]


def test_matrices_that_rounding_leaves_alone_are_worth_nothing():
    source = golden("llama3")
    weights = Weights(source, lower(source))
    names = body(weights)[:2]
    for tensor in weights.model.tensors:
        if tensor.name in names:
            source.tensors[tensor.source] = np.full(tensor.shape, 0.5, np.float32)
    assert measured(weights, [names]) == [0.0]


def test_divergence_is_shared_out_by_errors_and_measured_once(tmp_path, monkeypatch):
    """What matters a thousand times as much as all else gets the most bits."""
    source, asked = golden("llama3"), []

    def made_up(weights, ids, groups, progress):
        for names in groups:
            if len(asked) == 3:
                asked.append("stop")
                raise KeyboardInterrupt
            yield 1000.0 if names[0].endswith("key.weight") else 1.0
            asked.extend(names)

    monkeypatch.setattr(divergence, "divergences", made_up)
    ids = tokens(lower(source).config.vocabulary)
    with pytest.raises(KeyboardInterrupt):
        export(source, tmp_path / "x.edge", quant="mixed:6:mse+gptq", calib=ids)
    report = export(source, tmp_path / "x.edge", quant="mixed:6:mse+gptq", calib=ids)
    assert sorted(asked) == sorted([*body(Weights(source, lower(source))), "stop"])
    assert [file.name for file in tmp_path.iterdir()] == ["x.edge"]
    formats = {t.name: t.format for t in body_of(report)}
    assert {f for name, f in formats.items() if name.endswith("key.weight")} == {"int8-g32"}
    assert len(set(formats.values())) > 1


def test_a_deep_model_is_measured_in_bands_of_layers():
    names = [f"layers.{i}.{kind}.weight" for i in range(30) for kind in ("a", "b")]
    groups = [[names[i] for i in group] for group in sensitivity._groups(names, 30)]
    assert len(groups) == 20 and sorted(chain(*groups)) == sorted(names)
    assert groups[0] == ["layers.0.a.weight", "layers.1.a.weight", "layers.2.a.weight"]


def test_what_was_measured_of_other_tokens_is_not_used(tmp_path):
    source = golden("llama3")
    ids = tokens(lower(source).config.vocabulary)
    first = collect(source, lower(source), ids, tmp_path / "statistics")
    first.keep_divergences("mixed:6", {"layers.0.attention.key.weight": 1.0})
    again = collect(source, lower(source), ids, tmp_path / "statistics")
    assert again.divergences("mixed:6")
    other = collect(source, lower(source), ids[:, ::-1], tmp_path / "statistics")
    assert not other.divergences("mixed:6")
