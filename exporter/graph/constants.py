"""Arrays that a model carries: tensors of its file, and what `Constant` nodes say."""

import numpy as np
from onnx import AttributeProto, NodeProto, SparseTensorProto, TensorProto, numpy_helper

from edge.errors import SourceError

from .types import held_as, name_of


def array_of(tensor: TensorProto, where: str) -> np.ndarray:
    """Held as edge holds the type.  Raises SourceError, UnsupportedModel."""
    array: np.ndarray = numpy_helper.to_array(tensor)
    held = held_as(name_of(tensor.data_type, where))
    return array if array.dtype == held else array.astype(held)


def dense(tensor: SparseTensorProto, where: str) -> np.ndarray:
    """A sparse tensor with its zeros."""
    values, indices = (array_of(t, where) for t in (tensor.values, tensor.indices))
    result = np.zeros(tuple(tensor.dims), values.dtype)
    if indices.ndim == 1:
        result.reshape(-1)[indices] = values
    else:
        result[tuple(indices.T)] = values
    return result


def of_node(node: NodeProto, where: str) -> np.ndarray:
    """What a `Constant` node gives.  Raises SourceError."""
    if len(node.attribute) != 1:
        raise SourceError(f"{where}: {len(node.attribute)} attributes, expected one, its value")
    return _value(node.attribute[0], where)


def _value(a: AttributeProto, where: str) -> np.ndarray:
    if a.name == "value":
        return array_of(a.t, where)
    if a.name == "sparse_value":
        return dense(a.sparse_tensor, where)
    if a.name in ("value_float", "value_floats"):
        return np.array(a.f if a.name == "value_float" else a.floats, np.float32)
    if a.name in ("value_int", "value_ints"):
        return np.array(a.i if a.name == "value_int" else a.ints, np.int64)
    if a.name in ("value_string", "value_strings"):
        listed = [a.s] if a.name == "value_string" else a.strings
        texts = np.array([text.decode() for text in listed], object)
        return texts.reshape(()) if a.name == "value_string" else texts
    raise SourceError(f"{where}: attribute {a.name!r}, expected value, value_float, ...")
