"""Graphs on the command line: show, run, bench, verify, export."""

import numpy as np
import pytest
import small_graph

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def graph(tmp_path):
    return small_graph.write(tmp_path / "small.edge")


@pytest.fixture
def inputs(tmp_path):
    """The flags that feed it."""
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "mask.npy", np.array([1, 1]))
    return ["--input", f"x={tmp_path / 'x.npy'}", "--input", f"mask={tmp_path / 'mask.npy'}"]


def test_run_writes_a_file_for_each_output_and_only_into_its_folder(cli, graph, inputs, tmp_path):
    code, out, _ = cli("run", graph, *inputs, "--output", tmp_path / "out")
    assert code == 0 and "scores  float32 [2, 3]  scores.npy" in out
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["_count.npy", "scores.npy"]  # of an output called "../count"
    np.testing.assert_array_equal(np.load(tmp_path / "out/scores.npy"), X + small_graph.BIAS)
    assert np.load(tmp_path / "out/_count.npy") == 2


def test_run_says_shapes_and_times_as_json(cli_json, graph, inputs):
    document = cli_json("run", graph, *inputs)
    assert document["outputs"][0] == {
        "name": "scores", "dtype": "float32", "shape": [2, 3], "file": None,
    }  # fmt: skip
    assert document["timings"]["run_s"] > 0 and document["timings"]["load_s"] > 0


@pytest.mark.parametrize(
    "flag, code, says",
    [
        ("x", 2, "expected NAME=FILE.npy"),
        ("x=", 2, "expected NAME=FILE.npy"),
        ("x=missing.npy", 1, "missing.npy: cannot be read: No such file"),
        ("x=empty.npy", 1, "empty.npy: not a .npy file"),
        ("x=text.npy", 1, "text.npy: not a .npy file"),
        ("x=bomb.npy", 1, "bomb.npy: not a .npy file"),
        ("x=pickled.npy", 1, "pickled.npy: not a .npy file"),
        ("x=zipped.npz", 1, "zipped.npz: several arrays"),
        ("z=x.npy", 1, "no input 'z'; the graph has 'x', 'mask'"),
        ("x=x.npy", 1, "input 'mask' is missing"),
    ],
)
def test_inputs_that_cannot_be_had_are_one_line(
    cli, graph, inputs, tmp_path, monkeypatch, flag, code, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.npy").write_text("a text")
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "zipped.npz", x=X)
    content = (tmp_path / "x.npy").read_bytes()
    header = content[:128].replace(b"(2, 3), }         ", b"(200000000000, 3)}")
    assert len(header) == 128 and b"200000000000" in header
    (tmp_path / "bomb.npy").write_bytes(header + content[128:])
    found, out, err = cli("run", graph, "--input", flag)
    assert found == code and not out and says in err and err.count("\n") == 1


def test_a_graph_wants_arrays_and_a_language_model_wants_words(cli, graph, model, inputs):
    code, _, err = cli("run", graph, "a prompt", "--output", "out")
    assert code == 1 and "a graph reads no text" in err
    code, _, err = cli("run", graph, "a prompt")
    assert code == 1 and "--input NAME=FILE.npy" in err
    code, _, err = cli("run", model, *inputs)
    assert code == 1 and "it writes text" in err


def test_show_says_what_goes_in_and_what_comes_out(cli, cli_json, graph):
    document = cli_json("show", graph)
    assert document["kind"] == "graph" and document["bytes"] == graph.stat().st_size
    assert document["inputs"][0] == {"name": "x", "dtype": "float32", "shape": ["rows", 3]}
    assert document["operators"] == {"Add": 1, "ReduceSum": 1}
    assert document["parameters"] == 3 and document["metadata"] == {"character": "a\nb"}
    code, out, _ = cli("show", graph)
    assert code == 0 and "x: float32 [rows, 3]" in out and "2: Add 1, ReduceSum 1" in out


def test_bench_times_runs_of_each_number_of_threads(cli, cli_json, graph, monkeypatch):
    monkeypatch.setattr("edge.cli.bench_graph.LEAST_S", 0.001)
    document = cli_json("bench", graph, "-t", "1,2", "-r", "2", "--size", "rows=5")
    assert document["inputs"] == {"x": [5, 3], "mask": [5]}
    assert [row["threads"] for row in document["results"]] == [1, 2]
    assert all(len(row["seconds"]) == 2 and row["median_s"] > 0 for row in document["results"])
    code, out, _ = cli("bench", graph, "-t", "1", "-r", "1")
    assert code == 0 and "runs/s" in out


def test_sizes_of_random_inputs_follow_those_that_are_given(cli_json, graph, inputs, monkeypatch):
    monkeypatch.setattr("edge.cli.bench_graph.LEAST_S", 0.001)
    document = cli_json("bench", graph, "-t", "1", "-r", "1", *inputs[:2])
    assert document["inputs"] == {"x": [2, 3], "mask": [2]}


@pytest.mark.parametrize(
    "flags", [["--size", "rows"], ["--size", "rows=-1"], ["--compare", "old.json"]]
)
def test_bench_flags_that_make_no_sense_for_a_graph_are_wrong_usage(cli, graph, flags):
    assert cli("bench", graph, *flags)[0] == 2


def test_verify_finds_one_wrong_bit(cli, graph):
    assert cli("verify", graph)[0] == 0
    content = bytearray(graph.read_bytes())
    content[-64] ^= 1
    graph.write_bytes(content)
    code, _, err = cli("verify", graph)
    assert code == 1 and "graph.constants" in err


def test_export_says_in_one_line_what_is_wrong_with_a_graph(cli, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no model")
    code, out, err = cli("export", tmp_path / "m.onnx", "-o", tmp_path / "m.edge")
    assert code == 1 and not out and "not an ONNX file" in err and err.count("\n") == 1
    assert not (tmp_path / "m.edge").exists()


def test_export_of_a_graph_is_a_document_too(cli_json, tmp_path):
    onnx = pytest.importorskip("onnx")
    values = [onnx.helper.make_tensor_value_info(name, 1, ["N", 3]) for name in "xy"]
    nodes = [onnx.helper.make_node("Relu", ["x"], ["y"])]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", *[[v] for v in values])),
              tmp_path / "m.onnx")  # fmt: skip
    document = cli_json("export", tmp_path / "m.onnx", "-o", tmp_path / "m.edge")
    assert document["output"] == str(tmp_path / "m.edge")
    assert document["bytes"] == (tmp_path / "m.edge").stat().st_size
    assert [tensor["name"] for tensor in document["tensors"]] == ["graph.json", "graph.constants"]


@pytest.mark.parametrize("verb", [["export", "--explain"], ["advise"]])
def test_what_is_of_language_models_alone_says_so_of_a_graph(fails, tmp_path, verb):
    (tmp_path / "m.onnx").write_bytes(b"any")
    assert "a graph, not a language model" in fails(*verb, tmp_path / "m.onnx")


def test_limits_hold_for_a_graph(cli, graph, inputs):
    code, out, _ = cli("run", graph, *inputs, "--eco", "-t", "1")
    assert code == 0 and "scores" in out
