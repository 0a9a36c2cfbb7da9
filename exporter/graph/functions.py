"""Functions of a model, and operators that ONNX defines by others: what they are made of instead."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx
from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TypeProto,
    ValueInfoProto,
    defs,
    helper,
    inliner,
    shape_inference,
)

from edge.errors import SourceError, UnsupportedModel
from edge.format.graph_json import MAX_NODES

from .conversion import OWN
from .evaluate import has_operator
from .order import graphs, inner_graphs, walk
from .typed_nodes import spell_types
from .upgrade import UPGRADES

EXPANDED = "edge.expanded"  # domain of the operators that are being expanded
RECOGNISED = ("DynamicQuantizeLinear",)  # by passes that come later
MOST_DEPTH = 10  # of operators defined by operators
Name = tuple[str, str]  # domain and name of a function


def inlined(model: ModelProto, where: str) -> ModelProto:
    """Without functions of its own; `check_calls` has been.  Raises UnsupportedModel."""
    return _flat(model, where) if model.functions else model


def expanded(model: ModelProto, opset: int, where: str) -> ModelProto:
    """Operators that edge does not have, and that ONNX defines by others, made of those."""
    for _ in range(MOST_DEPTH):
        bodies = list(_bodies(model, opset))
        if not bodies:
            break
        model.functions.extend(bodies)
        model.opset_import.append(helper.make_opsetid(EXPANDED, 1))
        model = _flat(model, where)
    return model


def _flat(model: ModelProto, where: str) -> ModelProto:
    try:
        flat = inliner.inline_local_functions(model, convert_version=True)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        line = " ".join(str(error).split())[:200]
        raise UnsupportedModel(f"{where}: functions that onnx cannot inline: {line}") from None
    if flat.functions:
        names = ", ".join(f.name for f in flat.functions)
        raise UnsupportedModel(f"{where}: functions that onnx cannot inline: {names:.200}")
    return flat


def _bodies(model: ModelProto, opset: int) -> Iterator[FunctionProto]:
    """One for each node that is to be expanded; the node becomes a call of it."""
    types = _types(model)
    versions = {o.domain: o.version for o in model.opset_import} | {"": opset}
    for count, node in enumerate(walk(model.graph)):
        spell_types(node, types)
        domain = "" if node.domain in OWN else node.domain
        version = versions.get(domain, 0)
        if (not domain and _stays(node.op_type, opset)) or not defs.has(
            node.op_type, version, domain
        ):
            continue  # of a branch: the checker has seen the others
        body = _body(node, defs.get_schema(node.op_type, version, domain), version, types)
        if body is not None:
            body.name, body.domain = f"{node.op_type}.{count}", EXPANDED
            del body.opset_import[:]
            body.opset_import.extend(model.opset_import)
            node.op_type, node.domain = body.name, body.domain
            yield body


def _stays(op: str, opset: int) -> bool:
    upgraded = any(opset < before for before, _ in UPGRADES.get(op, ()))
    return has_operator(op) or op in RECOGNISED or upgraded


def _body(
    node: NodeProto, schema: Any, opset: int, types: Mapping[str, TypeProto]
) -> FunctionProto | None:
    """What ONNX says the operator is, if it says so for this node."""
    if schema.has_function:
        given = {a.name for a in node.attribute}
        defaults = ((k, a.default_value) for k, a in schema.attributes.items() if k not in given)
        node.attribute.extend(value for _, value in defaults if value.name)
        versions, content = schema.function_opset_versions, schema.get_function_with_opset_version
        found = [content(v) for v in _fitting(versions, opset)]
    elif schema.has_context_dependent_function:
        inputs = [types.get(name, TypeProto()).SerializeToString() for name in node.input]
        versions = schema.context_dependent_function_opset_versions
        content = schema.get_context_dependent_function_with_opset_version
        said = node.SerializeToString()
        found = [content(v, said, inputs) for v in _fitting(versions, opset)]
    else:
        return None
    bodies = [FunctionProto.FromString(body) for body in found if body]
    return bodies[0] if bodies and _is_of_opset(bodies[0], opset) else None


def _fitting(versions: Sequence[int], opset: int) -> list[int]:
    """The version of a body that a model of this opset means."""
    return sorted(v for v in versions if v <= opset)[-1:]


def _is_of_opset(body: FunctionProto, opset: int) -> bool:
    """Whether its operators, of an opset before, are still written the same."""
    version = next((o.version for o in body.opset_import if o.domain in OWN), opset)
    changes = (before for node in body.node for before, _ in UPGRADES.get(node.op_type, ()))
    return not any(version < before <= opset for before in changes)


def _types(model: ModelProto) -> dict[str, TypeProto]:
    inferred = shape_inference.infer_shapes(model)
    return {info.name: info.type for graph in graphs(inferred.graph) for info in _infos(graph)}


def _infos(graph: GraphProto) -> Iterator[ValueInfoProto]:
    yield from (*graph.value_info, *graph.input, *graph.output)
    for tensor in graph.initializer:
        yield helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)


def check_calls(model: ModelProto, where: str) -> None:
    """Raises SourceError if a function calls itself, or if all together become too many nodes."""
    functions = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[Name, int] = {}
    total = sum(_size(node, functions, sizes, (), where) for node in model.graph.node)
    if total > MAX_NODES:
        raise SourceError(
            f"{where}: {total} nodes once functions are inlined, expected {MAX_NODES}"
        )


def _size(
    node: NodeProto,
    functions: Mapping[Name, FunctionProto],
    sizes: dict[Name, int],
    callers: tuple[Name, ...],
    where: str,
) -> int:
    """Nodes that a node becomes."""
    name = node.domain, node.op_type
    if name in callers:
        raise SourceError(f"{where}: function {node.op_type!r:.80} calls itself")
    inside = [n for graph in inner_graphs(node) for n in graph.node]
    count = 1 + sum(_size(n, functions, sizes, callers, where) for n in inside)
    if name not in functions:
        return count
    if name not in sizes:
        body = functions[name].node
        sizes[name] = sum(_size(n, functions, sizes, (*callers, name), where) for n in body)
    return count + sizes[name]
