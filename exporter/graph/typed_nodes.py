"""What an operator's inputs say by their types alone, written down as attributes.

Arrays of types that NumPy lacks are held in wider ones, so that later no one could tell.
"""

from collections.abc import Mapping

from onnx import NodeProto, TypeProto, helper

from edge.format.element_types import held_as

from .conversion import OWN
from .types import NAMES


def spell_types(node: NodeProto, types: Mapping[str, TypeProto]) -> None:
    """Change `CastLike` to the cast that it is; give `QuantizeLinear` its type if NumPy lacks it."""
    if node.domain not in OWN:
        return
    if node.op_type == "CastLike":
        number = _element(node.input[1], types)
        if number:
            node.op_type = "Cast"
            del node.input[1]
            node.attribute.append(helper.make_attribute("to", number))
    elif node.op_type == "QuantizeLinear" and len(node.input) > 2:
        number = _element(node.input[2], types)
        if number and held_as(NAMES[number]).name != NAMES[number]:
            rest = [a for a in node.attribute if a.name != "output_dtype"]
            del node.attribute[:]
            node.attribute.extend([*rest, helper.make_attribute("output_dtype", number)])


def _element(name: str, types: Mapping[str, TypeProto]) -> int:
    """The number of a tensor's element type; 0: not known."""
    return types[name].tensor_type.elem_type if name in types else 0
