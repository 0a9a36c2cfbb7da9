"""A graph's session: the calls of ONNX Runtime, and inputs checked before anything runs."""

import numpy as np
import pytest
import small_graph

import edge
from edge.devices.policy import Targets
from edge.errors import EdgeError, UnsupportedModel
from edge.format.graph import Graph, Node, Value

X = np.arange(6, dtype=np.float32).reshape(2, 3)
MASK = np.array([1, 1])
ECO = Targets(eco=True)


@pytest.fixture
def session(tmp_path):
    with edge.load(small_graph.write(tmp_path / "small.edge"), threads=1) as session:
        yield session


def test_a_session_says_what_onnx_runtime_would(session):
    x, mask = session.get_inputs()
    assert (x.name, x.type, x.shape) == ("x", "tensor(float)", ["rows", 3])
    assert (mask.name, mask.type, mask.shape) == ("mask", "tensor(int64)", ["rows"])
    assert [output.name for output in session.get_outputs()] == ["scores", "../count"]
    assert session.get_modelmeta().custom_metadata_map == {"character": "a\nb"}
    assert session.get_modelmeta().graph_name == "small"
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert session.get_session_options().intra_op_num_threads == 1


def test_outputs_come_in_the_order_asked_for(session):
    scores, count = session.run(None, {"x": X, "mask": MASK})
    np.testing.assert_array_equal(scores, X + small_graph.BIAS)
    assert count == 2
    names = ["../count", "scores", "../count"]
    again = session.run(names, {"x": X, "mask": MASK})
    assert again[0] == again[2] == 2 and np.array_equal(again[1], scores)
    assert session.run([], {"x": X, "mask": MASK}) == []


def test_inputs_may_lie_anyhow_in_memory(session):
    wide = np.zeros((2, 6), np.float32)
    wide[:, ::2] = X
    scores, _ = session.run(None, {"x": wide[:, ::2], "mask": np.array([1, 0, 1])[::2]})
    np.testing.assert_array_equal(scores, X + small_graph.BIAS)


@pytest.mark.parametrize(
    "feeds, says",
    [
        ({"x": X}, "input 'mask' is missing; give int64 [rows]"),
        ({"x": X, "mask": MASK, "y": X}, "no input 'y'; the graph has 'x', 'mask'"),
        ({"x": X.astype(np.float64), "mask": MASK}, "float64 [2, 3], expected float32 [rows, 3]"),
        ({"x": X.astype(">f4"), "mask": MASK}, ">f4 [2, 3], expected float32"),
        ({"x": X[0], "mask": MASK}, "input 'x': shape [3], expected [rows, 3]"),
        ({"x": X[:, :2], "mask": MASK}, "input 'x': shape [2, 2], expected [rows, 3]"),
        ({"x": X, "mask": MASK[:1]}, "input 'mask': rows is 1, expected 2 as of 'x'"),
        ({"x": X.tolist(), "mask": MASK}, "input 'x': a list, expected float32 [rows, 3]"),
        ({"x": None, "mask": MASK}, "input 'x': a NoneType, expected float32"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_in_one_line(session, feeds, says):
    with pytest.raises(EdgeError) as refusal:
        session.run(None, feeds)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_nothing_runs_for_a_wrong_name_of_an_output(session):
    with pytest.raises(
        EdgeError, match=r"no output 'logits'; the graph has 'scores', '\.\./count'"
    ):
        session.run(["logits"], {"x": X, "mask": MASK})


def test_a_setting_of_another_kind_of_model_is_refused(tmp_path):
    path = small_graph.write(tmp_path / "small.edge")
    with pytest.raises(EdgeError, match="a graph has no setting 'context'"):
        edge.load(path, context=256)


class Pace:
    """Notes down what it is told, and wants one thread."""

    def __init__(self):
        self.steps = []

    def before_step(self):
        return 1, 0.0

    def after_step(self, tokens, seconds, cpu_s):
        self.steps.append((tokens, seconds))


def test_each_run_is_a_step_at_the_pace_of_a_governor(session):
    session.model.pace = Pace()
    for _ in range(2):
        session.run(None, {"x": X, "mask": MASK})
    (first, seconds), (second, _) = session.model.pace.steps
    assert first == second == 1 and seconds > 0


def test_limits_put_a_governor_beside_the_graph_and_none_put_none(tmp_path):
    path = small_graph.write(tmp_path / "small.edge")
    with edge.load(path, threads=2) as free, edge.load(path, threads=2, targets=ECO) as limited:
        for session in (free, limited):
            assert session.run(["../count"], {"x": X, "mask": MASK}) == [2]
        assert free.watch is None and limited.model.pace is not None
        assert limited.watch.governor.activity.tokens == 1


def test_an_operator_that_the_runtime_lacks_is_named(tmp_path):
    graph = Graph(
        (Value("x", "float32", (2,)),),
        (Value("y", "float32", (2,)),),
        (Node("com.acme.Secret", ("x",), ("y",), {}, "its name"),),
    )
    path = small_graph.write(tmp_path / "odd.edge", graph)
    with pytest.raises(UnsupportedModel, match="com.acme.Secret 'its name'"):
        edge.load(path).run(None, {"x": np.zeros(2, np.float32)})


def test_sequences_optionals_and_texts_are_fed_as_onnx_runtime_takes_them(tmp_path):
    graph = Graph(
        (
            Value("s", "sequence(float32)"),
            Value("o", "optional(float32)"),
            Value("t", "string", ("N",)),
        ),
        (Value("n", "int64", ()), Value("has", "bool", ()), Value("same", "string", ("N",))),
        (
            Node("SequenceLength", ("s",), ("n",)),
            Node("OptionalHasElement", ("o",), ("has",)),
            Node("Identity", ("t",), ("same",)),
        ),
    )
    path = small_graph.write(tmp_path / "odd.edge", graph)
    with edge.load(path) as session:
        types = [argument.type for argument in session.get_inputs()]
        feeds = {"s": [X, X[0]], "o": None, "t": np.array(["a", "bc"])}
        n, has, same = session.run(None, feeds)
        with pytest.raises(EdgeError, match="input 's': float32 \\[2, 3\\], expected a list"):
            session.run(None, feeds | {"s": X})
    assert types == ["seq(tensor(float))", "optional(tensor(float))", "tensor(string)"]
    assert n == 2 and not has and same.tolist() == ["a", "bc"]
