"""An .onnx file -> Graph, as its authors wrote it: checked, functions inlined, constants apart."""

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, NodeProto, TensorProto, checker, defs, helper, shape_inference

from edge.errors import SourceError, UnsupportedModel

from .constants import MAX_RANK, Arrays, check_finite
from .conversion import OWN, Conversion, is_constant
from .functions import check_calls, expanded, inlined
from .model import GraphModel
from .onnx_model import SHAPES_MOST, supported_opset
from .order import put_in_order, said, walk

AXES = {  # attributes that are axes
    *("axis", "axes", "perm", "batch_axis", "time_axis", "batch_dims"),
    *("scan_input_axes", "scan_output_axes"),
}
OLDEST = 7  # opset
PROTOBUF_MOST = 2**31 - 1  # bytes
REFUSALS = (checker.ValidationError, shape_inference.InferenceError, ValueError, RuntimeError)
TOLERATED = (
    "Field 'shape' of 'type' is required",  # of an output whose rank nobody knows
    "differ",  # a shape is not the one that the model's author noted down
    "(op_type:Constant)",  # in functions of ONNX's own, which its inference takes for broken
)


def read(source: str | Path) -> GraphModel:
    """Raises SourceError if the file is broken, UnsupportedModel for what edge does not have."""
    path, where = Path(source), str(source)
    model, arrays = _parsed(path), Arrays(path.parent, where)
    opset = _opset(model, where)
    check_calls(model, where)
    put_in_order(model, where)
    constants = _taken_out(model, arrays)
    check_finite(constants, where)
    _check(model, where)
    model = expanded(inlined(model, where), opset, where)
    graph = Conversion(model, arrays, constants).main()
    name, files = model.graph.name or path.stem, (path, *sorted(arrays.files))
    return GraphModel(graph, opset=opset, name=name, files=files)


def _parsed(path: Path) -> ModelProto:
    try:
        size = path.stat().st_size
        if size > PROTOBUF_MOST:
            raise SourceError(
                f"{path}: {size} bytes, an ONNX file has 2 GiB at most; save it with external data"
            )
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise SourceError(f"{path}: not an ONNX file, or cut off") from None
    if not model.HasField("graph") or not model.graph.output:
        raise SourceError(f"{path}: not an ONNX file: no graph with outputs in it")
    _check_texts(model, str(path))
    return model


def _check_texts(message: Message, where: str) -> None:
    """Names are UTF-8; protobuf gives others as bytes."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in [value] if isinstance(value, Message) else value:
                _check_texts(inner, where)
        elif field.type == field.TYPE_STRING:
            for text in [value] if isinstance(value, str | bytes) else value:
                if isinstance(text, bytes):
                    raise SourceError(f"{where}: {text!r:.80} is not UTF-8; the file is broken")


def _opset(model: ModelProto, where: str) -> int:
    """The version of ONNX's own operators."""
    if model.ir_version > onnx.IR_VERSION:
        raise UnsupportedModel(
            f"{where}: IR version {model.ir_version}, the installed onnx knows {onnx.IR_VERSION}; "
            "install a newer one"
        )
    found = [o.version for o in model.opset_import if o.domain in OWN]
    if not found:
        if any(node.domain in OWN for node in model.graph.node):
            raise SourceError(
                f"{where}: no opset: it does not say of which version its operators are"
            )
        return supported_opset()
    if len(set(found)) > 1:
        raise SourceError(f"{where}: several opsets {found!r:.40}, expected one")
    if not OLDEST <= found[0] <= supported_opset() and not _is_as_in_oldest(model, found[0]):
        raise UnsupportedModel(
            f"{where}: opset {found[0]}, expected {OLDEST} to {supported_opset()}; convert the "
            "model with onnx.version_converter"
        )
    return max(int(found[0]), OLDEST)


def _is_as_in_oldest(model: ModelProto, opset: int) -> bool:
    """Whether nothing has changed up to OLDEST in the operators that an older model has."""
    ops = {node.op_type for node in model.graph.node if node.domain in OWN}
    return 0 < opset < OLDEST and all(
        defs.has(op, opset, "") and defs.get_schema(op, OLDEST, "").since_version <= opset
        for op in ops
    )


def _taken_out(model: ModelProto, arrays: Arrays) -> dict[str, np.ndarray]:
    """The main graph's constants; what stays of them in the model are inputs of their types, and
    those that may say shapes.
    """
    graph = model.graph
    constants = {t.name: arrays.of(t) for t in graph.initializer}
    for sparse in graph.sparse_initializer:
        name = sparse.values.name
        constants[name] = arrays.dense(sparse, f"sparse tensor {name!r:.80}")
    for node in filter(is_constant, graph.node):
        constants[node.output[0]] = arrays.constant(node)
    large = {n for n, a in constants.items() if a.dtype != np.int64 or a.size > SHAPES_MOST}
    types = _types(model, constants)
    for part in (graph.initializer, graph.node):
        kept = [entry for entry in part if _name(entry) not in large]
        del part[:]
        part.extend(kept)
    del graph.sparse_initializer[:]
    graph.input.extend(
        helper.make_tensor_value_info(name, types[name], constants[name].shape)
        for name in sorted(large - {value.name for value in graph.input})
    )
    return constants


def _types(model: ModelProto, constants: dict[str, np.ndarray]) -> dict[str, int]:
    """Element types by number; a constant's NumPy type may be a wider one."""
    types = {
        name: TensorProto.STRING
        if array.dtype == object
        else helper.np_dtype_to_tensor_dtype(array.dtype)
        for name, array in constants.items()
    }
    types |= {t.name: t.data_type for t in model.graph.initializer}
    tensors = ((n, a.t) for n in filter(is_constant, model.graph.node) for a in n.attribute)
    return types | {node.output[0]: t.data_type for node, t in tensors if t.data_type}


def _name(entry: object) -> str:
    """Of an initializer, or of a `Constant` node's output; "" for another node."""
    if isinstance(entry, TensorProto):
        return str(entry.name)
    assert isinstance(entry, NodeProto)
    return str(entry.output[0]) if is_constant(entry) else ""


def _check(model: ModelProto, where: str) -> None:
    """By onnx's own checker, and its inference of types and shapes."""
    version, functions = _opset(model, where), {(f.domain, f.name) for f in model.functions}
    for nodes in (walk(model.graph), *(function.node for function in model.functions)):
        for node in nodes:
            if node.domain in OWN and (node.domain, node.op_type) not in functions:
                _check_operator(node, version, where)
            _check_attributes(node, where)
    for check in (checker.check_model, _infer):
        try:
            check(model)
        except REFUSALS as error:
            if not any(text in str(error) for text in TOLERATED):
                line = " ".join(str(error).split())
                raise SourceError(f"{where}: {line:.300}") from None


def _check_attributes(node: NodeProto, where: str) -> None:
    """That onnx's inference looks for no axis outside of its memory, and makes no 2**31 outputs."""
    for a in node.attribute:
        if a.name == "num_outputs" and a.i != len(node.output):
            outputs = len(node.output)
            raise SourceError(f"{where}: {said(node)}: num_outputs {a.i}, expected {outputs}")
        values = [a.i] if a.type == a.INT else a.ints
        if a.name in AXES and not all(-MAX_RANK <= value <= MAX_RANK for value in values):
            found = f"{a.name} {values[0] if len(values) == 1 else list(values)!r:.40}"
            raise SourceError(
                f"{where}: {said(node)}: {found}, expected axes from -{MAX_RANK} to {MAX_RANK}"
            )


def _infer(model: ModelProto) -> None:
    shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def _check_operator(node: NodeProto, opset: int, where: str) -> None:
    if not defs.has(node.op_type, opset, ""):
        what = f"operator {node.op_type!r:.80} (node {node.name!r:.80})"
        raise UnsupportedModel(f"{where}: {what}: ONNX has none of this name in opset {opset}")
