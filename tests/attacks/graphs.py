"""ONNX models that must not become a file; README.md says what each of them tries.

Each is a function of a folder that gives the model's path, with what its refusal says.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOATS = TensorProto.FLOAT
WEIGHTS = np.arange(16, dtype=np.float32)
GRAPHS: dict[str, tuple[Callable[[Path], Path], str]] = {}


def attack(says: str) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    def register(function: Callable[[Path], Path]) -> Callable[[Path], Path]:
        GRAPHS[function.__name__] = function, says
        return function

    return register


def adding(tensor: TensorProto) -> ModelProto:
    """y = x + a tensor."""
    return with_nodes([helper.make_node("Add", ["x", "w"], ["y"], "add")], [tensor])


def with_nodes(nodes: list[NodeProto], tensors: list[TensorProto] | tuple[()] = ()) -> ModelProto:
    values = [helper.make_tensor_value_info(name, FLOATS, ["N", 16]) for name in "xy"]
    graph = helper.make_graph(nodes, "attack", values[:1], values[1:], list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


def weights(array: np.ndarray = WEIGHTS) -> TensorProto:
    return numpy_helper.from_array(array, "w")


def saved(folder: Path, model: ModelProto) -> Path:
    path = folder / "model" / "m.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def outside(folder: Path, location: str, **said: int) -> Path:
    """A model whose weights lie elsewhere; a file of the right size lies beside its folder."""
    (folder / "secret").write_bytes(WEIGHTS.tobytes())
    tensor = TensorProto(name="w", data_type=FLOATS, dims=[16], data_location=TensorProto.EXTERNAL)
    for key, value in ({"location": location} | said).items():
        tensor.external_data.add(key=key, value=str(value))
    return saved(folder, adding(tensor))


# --- external data --------------------------------------------------------------------------------


@attack("below the model's folder")
def data_above_the_folder(folder: Path) -> Path:
    return outside(folder, "../secret")


@attack("below the model's folder")
def data_above_by_a_detour(folder: Path) -> Path:
    path = outside(folder, "sub/../../secret")
    (path.parent / "sub").mkdir()
    return path


@attack("below the model's folder")
def data_above_by_backslashes(folder: Path) -> Path:
    return outside(folder, "..\\secret")


@attack("below the model's folder")
def data_at_an_absolute_path(folder: Path) -> Path:
    return outside(folder, str(folder / "secret"))


@attack("below the model's folder")
def data_without_a_place(folder: Path) -> Path:
    return outside(folder, "")


@attack("is a link")
def data_behind_a_link(folder: Path) -> Path:
    path = outside(folder, "data")
    (path.parent / "data").symlink_to("../secret")
    return path


@attack("is a link")
def data_in_a_linked_folder(folder: Path) -> Path:
    path = outside(folder, "sub/secret")
    (path.parent / "sub").symlink_to(folder, target_is_directory=True)
    return path


@attack("hard links")
def data_by_another_name(folder: Path) -> Path:
    path = outside(folder, "data")
    os.link(folder / "secret", path.parent / "data")
    return path


@attack("not a plain file")
def data_from_a_pipe(folder: Path) -> Path:
    path = outside(folder, "data")
    os.mkfifo(path.parent / "data")
    return path


@attack("cannot be read")
def data_that_is_not_there(folder: Path) -> Path:
    return outside(folder, "data")


@attack("it was cut off")
def data_beyond_the_end(folder: Path) -> Path:
    path = outside(folder, "data", offset=4096)
    (path.parent / "data").write_bytes(WEIGHTS.tobytes())
    return path


@attack("expected a number")
def data_before_the_beginning(folder: Path) -> Path:
    path = outside(folder, "data", offset=-64)
    (path.parent / "data").write_bytes(WEIGHTS.tobytes())
    return path


@attack("said to be 60 bytes, expected 64")
def data_of_another_length(folder: Path) -> Path:
    path = outside(folder, "data", length=60)
    (path.parent / "data").write_bytes(WEIGHTS.tobytes())
    return path


# --- tensors --------------------------------------------------------------------------------------


@attack("64 bytes of data, expected 4096")
def tensor_larger_than_its_bytes(folder: Path) -> Path:
    tensor = weights()
    tensor.dims[:] = [1024]
    return saved(folder, adding(tensor))


@attack("16 numbers of float_data, expected 17")
def tensor_larger_than_its_numbers(folder: Path) -> Path:
    tensor = TensorProto(name="w", data_type=FLOATS, dims=[17], float_data=WEIGHTS)
    return saved(folder, adding(tensor))


@attack("expected sizes from 0")
def negative_size(folder: Path) -> Path:
    tensor = weights()
    tensor.dims[:] = [-4, -4]
    return saved(folder, adding(tensor))


@attack("more numbers than")
def product_that_overflows(folder: Path) -> Path:
    tensor = weights()
    tensor.dims[:] = [2**32, 2**32, 16]
    return saved(folder, adding(tensor))


@attack("numbers at most")
def sparse_bomb(folder: Path) -> Path:
    model = adding(weights())
    del model.graph.initializer[:]
    sparse = model.graph.sparse_initializer.add(dims=[2**40])
    sparse.values.CopyFrom(numpy_helper.from_array(WEIGHTS[:1], "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([5]), "i"))
    return saved(folder, model)


@attack("indices that do not fit")
def sparse_index_beyond(folder: Path) -> Path:
    model = adding(weights())
    del model.graph.initializer[:]
    sparse = model.graph.sparse_initializer.add(dims=[16])
    sparse.values.CopyFrom(numpy_helper.from_array(WEIGHTS[:1], "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([16]), "i"))
    return saved(folder, model)


@attack("element type 99")
def type_of_the_future(folder: Path) -> Path:
    tensor = weights()
    tensor.data_type = 99
    return saved(folder, adding(tensor))


@attack("not UTF-8")
def text_that_is_none(folder: Path) -> Path:
    tensor = TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"\xff"])
    return saved(folder, adding(tensor))


@attack(r"no numbers \(NaN\)")
def not_a_number(folder: Path) -> Path:
    return saved(folder, adding(weights(np.where(WEIGHTS == 7, np.nan, WEIGHTS).astype("f4"))))


@attack("a dimension of -5")
def negative_input(folder: Path) -> Path:
    model = adding(weights())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -5
    return saved(folder, model)


# --- graphs ---------------------------------------------------------------------------------------


@attack("a cycle: Add 'first' waits for Relu 'second' waits for Add 'first'")
def cycle(folder: Path) -> Path:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "second"),
        helper.make_node("Relu", ["b"], ["y"], "third"),
    ]
    return saved(folder, with_nodes(nodes))


@attack("waits for")
def cycle_through_a_branch(folder: Path) -> Path:
    inner = helper.make_tensor_value_info("z", FLOATS, None)
    branch = helper.make_graph([helper.make_node("Relu", ["b"], ["z"])], "branch", [], [inner])
    nodes = [
        helper.make_node("Cast", ["x"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["a"], "choice", then_branch=branch, else_branch=branch),
        helper.make_node("Relu", ["a"], ["b"], "back"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    return saved(folder, with_nodes(nodes))


@attack("reads 'nothing', which is not there")
def value_from_nowhere(folder: Path) -> Path:
    return saved(folder, with_nodes([helper.make_node("Add", ["x", "nothing"], ["y"])]))


@attack("makes 'y', which is there already")
def value_made_twice(folder: Path) -> Path:
    return saved(folder, with_nodes([helper.make_node("Relu", ["x"], ["y"])] * 2))


@attack("two tensors are called 'w'")
def two_tensors_of_a_name(folder: Path) -> Path:
    model = adding(weights())
    model.graph.initializer.append(weights(WEIGHTS * 2))
    return saved(folder, model)


@attack("output 'y': no node makes it")
def output_from_nowhere(folder: Path) -> Path:
    return saved(folder, with_nodes([helper.make_node("Relu", ["x"], ["z"])]))


@attack("Incompatible dimensions|incompatible")
def sizes_that_do_not_fit(folder: Path) -> Path:
    return saved(folder, adding(weights(WEIGHTS[:5])))


@attack("axis 2147483648, expected axes from -32 to 32")
def axis_beyond_all(folder: Path) -> Path:
    nodes = [helper.make_node("LayerNormalization", ["x", "w"], ["y"], axis=2**31)]
    return saved(folder, with_nodes(nodes, [weights()]))


@attack("num_outputs 2147483648, expected 1")
def outputs_without_number(folder: Path) -> Path:
    nodes = [helper.make_node("Split", ["x"], ["y"], num_outputs=2**31)]
    return saved(folder, with_nodes(nodes))


@attack("operator 'Frobnicate'")
def unknown_operator(folder: Path) -> Path:
    return saved(folder, with_nodes([helper.make_node("Frobnicate", ["x"], ["y"])]))


@attack("operator 'Frobnicate'")
def unknown_operator_in_a_branch(folder: Path) -> Path:
    inner = helper.make_tensor_value_info("z", FLOATS, None)
    node = helper.make_node("Frobnicate", ["x"], ["z"])
    branch = helper.make_graph([node], "branch", [], [inner])
    nodes = [
        helper.make_node("Cast", ["x"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    return saved(folder, with_nodes(nodes))


@attack("com.acme.Secret")
def operator_of_another_domain(folder: Path) -> Path:
    model = with_nodes([helper.make_node("Secret", ["x"], ["y"], "its name", domain="com.acme")])
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    return saved(folder, model)


@attack("opset 9999, expected 7 to")
def opset_of_the_future(folder: Path) -> Path:
    model = adding(weights())
    model.opset_import[0].version = 9999
    return saved(folder, model)


@attack("opset 6, expected 7 to")
def opset_of_the_past(folder: Path) -> Path:
    model = adding(weights())
    model.opset_import[0].version = 6
    return saved(folder, model)


@attack("no opset")
def opset_unsaid(folder: Path) -> Path:
    model = adding(weights())
    del model.opset_import[:]
    return saved(folder, model)


@attack("calls itself")
def function_of_itself(folder: Path) -> Path:
    model = with_nodes([helper.make_node("F", ["x"], ["y"], domain="own")])
    return saved(folder, with_function(model, "F", ["F"]))


@attack("nodes once functions are inlined")
def billion_laughs(folder: Path) -> Path:
    model = with_nodes([helper.make_node("F0", ["x"], ["y"], domain="own")])
    for i in range(30):
        with_function(model, f"F{i}", [f"F{i + 1}"] * 2)
    return saved(folder, with_function(model, "F30", ["Relu"]))


def with_function(model: ModelProto, name: str, ops: list[str]) -> ModelProto:
    """A function that applies these one after the other."""
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    nodes = [
        helper.make_node(op, [f"v{i}"], [f"v{i + 1}"], domain="" if op == "Relu" else "own")
        for i, op in enumerate(ops)
    ]
    last = f"v{len(ops)}"
    model.functions.append(helper.make_function("own", name, ["v0"], [last], nodes, imports))
    if len(model.opset_import) == 1:
        model.opset_import.append(imports[1])
    return model


@attack("not an ONNX file")
def something_else(folder: Path) -> Path:
    path = saved(folder, adding(weights()))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    return path


@attack("not an ONNX file")
def half_a_file(folder: Path) -> Path:
    path = saved(folder, adding(weights()))
    path.write_bytes(path.read_bytes()[:-20])
    return path


@attack("not an ONNX file")
def nothing_at_all(folder: Path) -> Path:
    path = saved(folder, adding(weights()))
    path.write_bytes(b"")
    return path


@attack("not an ONNX file")
def nested_branches(folder: Path) -> Path:
    """Deeper than protobuf reads: graphs of a node with an attribute with a graph, and so on."""
    path, graph = saved(folder, adding(weights())), b""
    for _ in range(200):
        graph = field(1, field(5, field(6, graph)))
    path.write_bytes(path.read_bytes() + field(7, graph))
    return path


def field(number: int, content: bytes) -> bytes:
    """Of a protobuf message."""
    length, rest = b"", len(content)
    while rest >= 128:
        length += bytes([rest % 128 + 128])
        rest //= 128
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content
