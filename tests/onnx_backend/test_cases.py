"""The ONNX project's backend tests: the list of what passes may only grow."""

import contextlib
import os

import pytest
from onnx_backend.cases import KINDS, NOT_COMPARED, PASSING, case, cases, listed, model_of, run

from edge.errors import UnsupportedModel

ADD = "add to passing.txt with: python tests/onnx_backend/cases.py"


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """These files need not outlive a power cut: nobody waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("name", listed(PASSING))
def test_a_listed_case_passes(name):
    found = case(name)
    if found is None:
        pytest.skip("the installed onnx has no such case")
    run(found)


@pytest.mark.parametrize("kind", KINDS)
def test_any_other_case_is_refused_by_name_or_has_a_reason(kind):
    reasons, passing = listed(NOT_COMPARED), listed(PASSING)
    for name, found in cases(kind).items():
        if name in passing:
            continue
        if name in reasons:
            with contextlib.suppress(AssertionError):  # by chance one may pass
                run(found)
            continue
        named = {node.op_type for node in model_of(found).graph.node} | {"opset"}
        with pytest.raises(UnsupportedModel) as refused:
            run(found)
            pytest.fail(f"{name} passes: {ADD}")
        assert any(what in str(refused.value) for what in named), name


def test_at_least_98_of_100_node_cases_pass():
    node, passing = cases("node"), listed(PASSING)
    assert sum(name in passing for name in node) >= 0.98 * len(node)
