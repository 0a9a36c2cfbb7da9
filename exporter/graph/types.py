"""ONNX's element types, by the names that graphs use."""

from onnx import TensorProto, TensorShapeProto, TypeProto, helper

from edge.errors import SourceError, UnsupportedModel
from edge.format.graph import Dimension, Value

ATTRIBUTES = {  # of nodes that are types; graphs have them by name
    *("to", "dtype", "output_dtype", "output_datatype"),
    *("stash_type", "precision", "softmax_precision"),
}
MAX_SIZE = 2**48  # of a dimension
_RENAMED = {"float": "float32", "double": "float64"}
NAMES: dict[int, str] = {
    number: _RENAMED.get(name.lower(), name.lower())
    for name, number in TensorProto.DataType.items()
    if number
}
NUMBERS = {name: number for number, name in NAMES.items()}


def name_of(number: int, where: str) -> str:
    """Raises UnsupportedModel."""
    try:
        return NAMES[number]
    except KeyError:
        raise UnsupportedModel(
            f"{where}: element type {number}, which ONNX does not have"
        ) from None


def value_of(name: str, kind: TypeProto, where: str) -> Value:
    """What is known of a value; of graphs inside nodes that may be nothing.

    Raises SourceError, UnsupportedModel.
    """
    dtype = spelled(kind, where) if kind.WhichOneof("value") else ""
    return Value(name, dtype, _shape(kind, where))


def spelled(kind: TypeProto, where: str) -> str:
    """ "float32", "sequence(float32)", "optional(sequence(int64))", "map(int64,float32)"."""
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return name_of(kind.tensor_type.elem_type, where)
    if which in ("sequence_type", "optional_type"):
        return f"{which.removesuffix('_type')}({spelled(getattr(kind, which).elem_type, where)})"
    if which == "map_type":
        key = name_of(kind.map_type.key_type, where)
        return f"map({key},{spelled(kind.map_type.value_type, where)})"
    raise UnsupportedModel(f"{where}: {which}, expected a tensor or a sequence of them")


def type_of(dtype: str, shape: tuple[Dimension, ...] | None = None) -> TypeProto:
    """ONNX's type of this name; the opposite of `spelled`."""
    outer, _, rest = dtype.rstrip(")").partition("(")
    inner = dtype[len(outer) + 1 : -1]
    if outer == "sequence":
        return helper.make_sequence_type_proto(type_of(inner))
    if outer == "optional":
        return helper.make_optional_type_proto(type_of(inner))
    if outer == "map":
        key, _, value = rest.partition(",")
        return helper.make_map_type_proto(NUMBERS[key], type_of(value))
    return helper.make_tensor_type_proto(NUMBERS[dtype], shape)


def _shape(kind: TypeProto, where: str) -> tuple[Dimension, ...] | None:
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        return None
    return tuple(_dimension(d, where) for d in kind.tensor_type.shape.dim)


def _dimension(d: TensorShapeProto.Dimension, where: str) -> Dimension:
    if not d.HasField("dim_value"):
        return d.dim_param if d.dim_param.strip("?") else None  # "?": whatever
    if d.dim_value == -1:  # how some exporters write that they do not know
        return None
    if not 0 <= d.dim_value < MAX_SIZE:
        raise SourceError(f"{where}: a dimension of {d.dim_value}, expected 0 to 2**48")
    return int(d.dim_value)
