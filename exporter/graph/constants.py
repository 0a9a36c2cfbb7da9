"""Arrays that a model carries: tensors of its file, and what `Constant` nodes say."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import AttributeProto, NodeProto, SparseTensorProto, TensorProto, numpy_helper

from edge.errors import SourceError
from edge.format.element_types import held_as

from .external_data import stored_outside
from .types import MAX_SIZE, name_of

MAX_RANK = 32  # of NumPy 1
SPARSE_MOST = 2**28  # numbers of a sparse tensor, with its zeros
_BITS = {  # of an element, where no NumPy type says it
    **dict.fromkeys(("int4", "uint4", "float4e2m1"), 4),
    **dict.fromkeys(("int2", "uint2"), 2),
    **dict.fromkeys(("float8e4m3fn", "float8e4m3fnuz", "float8e5m2"), 8),
    **dict.fromkeys(("float8e5m2fnuz", "float8e8m0"), 8),
    "bfloat16": 16,
}
_FIELDS = {  # where numbers lie that are not raw bytes, and how many of the field one takes
    **dict.fromkeys(("float32", "complex64"), "float_data"),
    **dict.fromkeys(("float64", "complex128"), "double_data"),
    **dict.fromkeys(("uint32", "uint64"), "uint64_data"),
    "int64": "int64_data",
    "string": "string_data",
}


class Arrays:
    """Reads a model's tensors; `folder` is where its external data lies, `where` names the model."""

    def __init__(self, folder: Path, where: str):
        self._folder, self.where = folder, where
        self.files: set[Path] = set()  # of external data, that were read

    def of(self, tensor: TensorProto, what: str = "") -> np.ndarray:
        """The numbers, held as edge holds their type.

        Raises SourceError where the file says one thing and its data are another, UnsupportedModel.
        """
        where = f"{self.where}: {what or 'tensor'} {tensor.name!r:.80}"
        dtype = name_of(tensor.data_type, where)
        shape = _shape(tensor.dims, where)
        if tensor.data_location == TensorProto.EXTERNAL:
            outside = stored_outside(tensor, where)
            raw = outside.read(self._folder, nbytes(dtype, shape), where)
            self.files.add(self._folder / outside.location)
            return _of_bytes(raw, dtype, shape, where)
        if tensor.HasField("raw_data"):
            return _of_bytes(np.frombuffer(tensor.raw_data, np.uint8), dtype, shape, where)
        return _of_field(tensor, dtype, shape, where)

    def dense(self, tensor: SparseTensorProto, what: str) -> np.ndarray:
        """A sparse tensor with its zeros.  Raises SourceError, UnsupportedModel."""
        where = f"{self.where}: {what}"
        values, indices = self.of(tensor.values, what), self.of(tensor.indices, what)
        shape = _shape(tensor.dims, where)
        if math.prod(shape) > SPARSE_MOST:
            raise SourceError(f"{where}: {list(shape)}, expected {SPARSE_MOST} numbers at most")
        result = np.zeros(shape, values.dtype)
        flat = indices.reshape(-1, len(shape)) if indices.ndim == 2 else indices
        try:
            if flat.ndim == 1:
                result.reshape(-1)[flat] = values
            else:
                result[tuple(flat.T)] = values
        except (IndexError, ValueError):
            raise SourceError(f"{where}: indices that do not fit {list(shape)}") from None
        return result

    def constant(self, node: NodeProto) -> np.ndarray:
        """What a `Constant` node gives.  Raises SourceError, UnsupportedModel."""
        what = f"Constant {node.name or ''.join(node.output)!r:.80}"
        if len(node.attribute) != 1:
            found = len(node.attribute)
            raise SourceError(f"{self.where}: {what}: {found} attributes, expected one, its value")
        return self._value(node.attribute[0], what)

    def _value(self, a: AttributeProto, what: str) -> np.ndarray:
        if a.name == "value":
            return self.of(a.t, what)
        if a.name == "sparse_value":
            return self.dense(a.sparse_tensor, what)
        if a.name in ("value_float", "value_floats"):
            return np.array(a.f if a.name == "value_float" else a.floats, np.float32)
        if a.name in ("value_int", "value_ints"):
            return np.array(a.i if a.name == "value_int" else a.ints, np.int64)
        if a.name in ("value_string", "value_strings"):
            texts = [a.s] if a.name == "value_string" else list(a.strings)
            array = _texts(texts, (len(texts),), f"{self.where}: {what}")
            return array.reshape(()) if a.name == "value_string" else array
        raise SourceError(f"{self.where}: {what}: attribute {a.name!r:.40}, expected a value")


def nbytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of raw data."""
    bits = _BITS.get(dtype) or 8 * np.dtype(dtype).itemsize
    return -(-math.prod(shape) * bits // 8)


def check_finite(arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Weights are numbers; a single NaN may be meant, as what to fill with.  Raises SourceError."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and array.size > 1 and _has_nan(array):
            raise SourceError(
                f"{where}: tensor {name!r:.80} has weights that are no numbers (NaN); "
                "the model is broken: train or convert it anew"
            )


def _has_nan(array: np.ndarray, block: int = 2**20) -> bool:
    """Block by block: of large weights there is no second copy."""
    flat = array.reshape(-1)
    return any(np.isnan(flat[i : i + block]).any() for i in range(0, flat.size, block))


def _shape(dims: object, where: str) -> tuple[int, ...]:
    shape = tuple(map(int, dims))  # type: ignore[call-overload]
    if len(shape) > MAX_RANK or any(not 0 <= size < MAX_SIZE for size in shape):
        raise SourceError(f"{where}: shape {list(shape)!r:.80}, expected sizes from 0 to 2**48")
    if math.prod(shape) >= MAX_SIZE:
        raise SourceError(f"{where}: shape {list(shape)!r:.80} has more numbers than 2**48")
    return shape


def _of_bytes(raw: np.ndarray, dtype: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    if dtype == "string":
        raise SourceError(f"{where}: texts as raw bytes, expected string_data")
    if len(raw) != nbytes(dtype, shape):
        raise SourceError(
            f"{where}: {len(raw)} bytes of data, expected {nbytes(dtype, shape)} for {dtype} "
            f"{list(shape)!r:.80}; the file was cut off or written wrongly"
        )
    if dtype == "bool":
        return np.asarray(raw != 0).reshape(shape)
    if dtype in _BITS:
        return _held(_small(raw, dtype, shape), dtype)
    return raw.view(np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _small(raw: np.ndarray, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    number = TensorProto.DataType.Value(dtype.upper())
    proto = TensorProto(data_type=number, dims=shape, raw_data=raw.tobytes())
    array: np.ndarray = numpy_helper.to_array(proto)
    return array


def _of_field(tensor: TensorProto, dtype: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    field = _FIELDS.get(dtype, "int32_data")
    found, expected = len(getattr(tensor, field)), math.prod(shape)
    if dtype.startswith("complex"):
        expected *= 2
    elif dtype in _BITS and _BITS[dtype] < 8:
        expected = nbytes(dtype, shape)
    if found != expected:
        raise SourceError(
            f"{where}: {found} numbers of {field}, expected {expected} for {dtype} "
            f"{list(shape)!r:.80}; the file was cut off or written wrongly"
        )
    if dtype == "string":
        return _texts(list(tensor.string_data), shape, where)
    array: np.ndarray = numpy_helper.to_array(tensor)
    return _held(array, dtype)


def _held(array: np.ndarray, dtype: str) -> np.ndarray:
    held = held_as(dtype)
    return array if array.dtype == held else array.astype(held)


def _texts(texts: list[bytes], shape: tuple[int, ...], where: str) -> np.ndarray:
    array = np.empty(len(texts), object)
    try:
        array[:] = [text.decode() for text in texts]
    except UnicodeDecodeError:
        raise SourceError(f"{where}: a text that is not UTF-8") from None
    return array.reshape(shape)
