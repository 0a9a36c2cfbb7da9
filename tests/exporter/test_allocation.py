"""Allocation: the best choice there is, within the budget."""

from itertools import product

import numpy as np
import pytest

from edge.errors import RecipeError
from edge.exporter import export
from edge.exporter.allocation.knapsack import choose
from edge.exporter.allocation.mixed import FORMATS
from edge.exporter.language import parse
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
    body = [t for t in report.tensors if t.name.startswith("layers.") and len(t.shape) == 2]
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
    with pytest.raises(RecipeError, match=r"into 2.0 bits a weight; this model takes \d"):
        export(golden("llama3"), tmp_path / "x.edge", quant="mixed:2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["mixed", "mixed:", "mixed:many", "mixed:hqq"])
def test_mixed_wants_a_number(text):
    with pytest.raises(RecipeError, match="like mixed:5.5"):
        parse(text)
