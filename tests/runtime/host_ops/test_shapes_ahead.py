"""What a graph is bound by: an operator's shapes follow from shapes, and from values it names."""

import numpy as np
import pytest
from onnx_backend.cases import PASSING, case, data_sets, listed, model_of

from edge.exporter.graph.pipeline import lower
from edge.onnx_backend import as_held
from edge.runtime.graph import interpreter
from edge.runtime.host_ops import OPS


def first_cases() -> dict[str, str]:
    """By operator, an ONNX case of it; the names tell without making the cases."""
    found: dict[str, str] = {}
    for name in listed(PASSING):
        words = name.removeprefix("test_").replace("_", "")
        for op in OPS:
            if words.startswith(op.lower()) and not name.endswith("_expanded"):
                found.setdefault(op, name)
    return found


CASES = {op: name for op, name in first_cases().items() if OPS[op].shaped_by is not None}


def blank(x: np.ndarray) -> np.ndarray:
    """Zeros of a type and shape, without memory for them."""
    return np.broadcast_to(np.zeros((), x.dtype), x.shape)


@pytest.mark.parametrize("name", sorted(set(CASES.values())))
def test_shapes_are_known_before_the_values(name, tmp_path):
    found = case(name)
    (tmp_path / "model.onnx").write_bytes(model_of(found).SerializeToString())
    model = lower(tmp_path / "model.onnx")
    inputs, _ = next(data_sets(found))
    names = [value.name for value in model.graph.inputs]
    fed = dict(zip(names, map(as_held, inputs), strict=True))
    known = {"": None, **model.graph.constants, **fed}
    for node in model.graph.nodes:
        given = [known[name] for name in node.inputs]
        results = interpreter.call(node, given, known, model)
        known |= dict(zip(node.outputs, results, strict=False))
        shaped_by = OPS[node.op].shaped_by
        if shaped_by is not None:
            blanks = [x if x is None or i in shaped_by else blank(x) for i, x in enumerate(given)]
            ahead = interpreter.call(node, blanks, known, model)
            assert [(r.shape, r.dtype) for r in ahead] == [(r.shape, r.dtype) for r in results]
