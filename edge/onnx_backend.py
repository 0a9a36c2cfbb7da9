"""edge as a backend of ONNX: `import edge.onnx_backend as backend`, and its tests run against edge.

A model goes the way of every other: it is exported in float32 to an .edge file, loaded, and run.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    defs,
    helper,
    numpy_helper,
    shape_inference,
)
from onnx.backend.base import Backend, BackendRep

from edge.errors import EdgeError, InputError, UnsupportedModel
from edge.exporter.graph.pipeline import export_graph
from edge.exporter.graph.types import NUMBERS, name_of
from edge.format.element_types import held_as
from edge.graph_session import GraphSession, load

SEQUENCES, OPTIONALS = "sequence(", "optional("


def as_held(value: Any) -> Any:
    """As edge holds it: an array of a type that NumPy has, a list of such, or None."""
    if isinstance(value, list | tuple):
        return [as_held(element) for element in value]
    if value is None:
        return None
    array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype == object:
        texts = [text.decode() if isinstance(text, bytes) else text for text in array.ravel()]
        return np.array(texts, object).reshape(array.shape)
    if array.dtype.isbuiltin == 1:
        return array
    number = helper.np_dtype_to_tensor_dtype(array.dtype)
    return array.astype(held_as(name_of(number, "an input")))


def _given(value: Any, kind: str) -> Any:
    """As ONNX's tests want it: of the type that the model says, also if NumPy lacks it."""
    if value is None:
        return None
    for outer in (SEQUENCES, OPTIONALS):
        if kind.startswith(outer):
            kind = kind[len(outer) : -1]
            if outer == SEQUENCES:
                return [_given(element, kind) for element in value]
            return _given(value, kind)
    if kind not in NUMBERS or kind == "string":
        return value
    return value.astype(helper.tensor_dtype_to_np_dtype(NUMBERS[kind]), copy=False)


class EdgeRep(BackendRep):
    """A model that is ready to run; `close` ends its threads."""

    def __init__(self, session: GraphSession):
        self.session = session

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        """The outputs for inputs by name, or in the model's order.

        Raises InputError for inputs that the model does not take.
        """
        outputs = self.session.run(None, self._by_name(inputs))
        kinds = [value.dtype for value in self.session.model.graph.outputs]
        return tuple(_given(value, kind) for value, kind in zip(outputs, kinds, strict=True))

    def close(self) -> None:
        self.session.close()

    def _by_name(self, inputs: Any) -> dict[str, Any]:
        if isinstance(inputs, Mapping):
            return {name: as_held(value) for name, value in inputs.items()}
        listed = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        names = [value.name for value in self.session.get_inputs()]
        if len(listed) > len(names):
            raise InputError(f"{len(listed)} inputs, the model takes {len(names)}")
        return dict(zip(names, map(as_held, listed), strict=False))


class EdgeBackend(Backend):
    """What ONNX asks of a backend.  The methods raise EdgeError for what edge cannot do."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **_: Any) -> bool:
        try:
            cls.prepare(model, device).close()
        except EdgeError:
            return False
        return True

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **_: Any) -> EdgeRep:
        if not cls.supports_device(device):
            raise InputError(f"device {device!r}: edge runs on the CPU")
        with tempfile.TemporaryDirectory() as folder:
            source, packed = Path(folder) / "model.onnx", Path(folder) / "model.edge"
            source.write_bytes(model.SerializeToString())
            export_graph(source, packed, quant="float32", verify=False)
            return EdgeRep(load(packed))  # mapped: it outlives its name

    @classmethod
    def run_model(
        cls, model: ModelProto, inputs: Any, device: str = "CPU", **_: Any
    ) -> tuple[Any, ...]:
        with closing(cls.prepare(model, device)) as ready:
            return ready.run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, Any]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """One operator by itself; `opset_version` among `kwargs` says of which opset."""
        opset = kwargs.get("opset_version", defs.onnx_opset_version())
        imports = [helper.make_opsetid(node.domain, opset)]
        names = [name for name in node.input if name]
        arrays = [np.asarray(value) for value in inputs]
        given = {name: _type(a.dtype, a.shape) for name, a in zip(names, arrays, strict=True)}
        if outputs_info is None:
            made = _inferred(node, given, dict(zip(names, arrays, strict=True)), imports)
        else:
            infos = (_type(*info) for info in outputs_info)
            made = dict(zip(node.output, infos, strict=True))
        sides = [
            [helper.make_value_info(name, kind) for name, kind in side.items()]
            for side in (given, made)
        ]
        graph = helper.make_graph([node], "node", sides[0], sides[1])
        return cls.run_model(helper.make_model(graph, opset_imports=imports), arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"


def _type(dtype: Any, shape: Any) -> TypeProto:
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def _inferred(
    node: NodeProto,
    types: Mapping[str, TypeProto],
    arrays: Mapping[str, np.ndarray],
    imports: Sequence[onnx.OperatorSetIdProto],
) -> dict[str, TypeProto]:
    """Types of the node's outputs.  Raises UnsupportedModel for an operator that ONNX lacks."""
    version = imports[0].version
    if not defs.has(node.op_type, version, node.domain):
        raise UnsupportedModel(f"operator {node.op_type!r:.80}: ONNX has none in opset {version}")
    found = shape_inference.infer_node_outputs(
        defs.get_schema(node.op_type, version, node.domain),
        node,
        dict(types),
        {name: numpy_helper.from_array(array) for name, array in arrays.items()},
        opset_imports=list(imports),
    )
    return {name: found.get(name, TypeProto()) for name in node.output if name}


is_compatible = EdgeBackend.is_compatible
prepare = EdgeBackend.prepare
run_model = EdgeBackend.run_model
run_node = EdgeBackend.run_node
supports_device = EdgeBackend.supports_device
