"""Operators whose axes were attributes and are inputs now."""

from dataclasses import replace

from edge.format.graph import Graph, Node, Value

from ..rewriting import Rewriting
from .registry import refused, upgrades, without

EARLY = ("ReduceSum", "Squeeze", "Unsqueeze")  # with opset 13
LATE = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSumSquare"),
)  # with opset 18


@upgrades(*EARLY, before=13)
@upgrades(*LATE, before=18)
def axes_as_input(node: Node, at: Rewriting) -> list[Node]:
    axes = node.attributes.get("axes")
    inputs = node.inputs
    if axes:
        inputs += (at.constant(axes, f"{node.outputs[0]}.axes"),)
    return [replace(node, inputs=inputs, attributes=without(node, "axes"))]


@upgrades("Slice", before=10)
def slice_as_inputs(node: Node, at: Rewriting) -> list[Node]:
    """starts, ends and axes; steps came with the inputs."""
    found = [node.attributes.get(key) for key in ("starts", "ends", "axes")]
    names = [
        at.constant(values, f"{node.outputs[0]}.bounds") for values in found if values is not None
    ]
    return [replace(node, inputs=(*node.inputs, *names), attributes={})]


@upgrades("DFT", before=20)
def dft_axis_as_input(node: Node, at: Rewriting) -> list[Node]:
    length = node.inputs[1] if len(node.inputs) > 1 else ""
    axis = at.constant(node.attributes.get("axis", 1), f"{node.outputs[0]}.axis")
    inputs = (node.inputs[0], length, axis)
    return [replace(node, inputs=inputs, attributes=without(node, "axis"))]


@upgrades("Scan", before=9)
def scan_of_batches(node: Node, at: Rewriting) -> list[Node]:
    """Over the second axis of each sequence of a batch: a scan inside of one over the first axis."""
    lengths, *inputs = node.inputs
    if lengths:
        raise refused(node, "a scan of sequences of several lengths, of opset 8")
    inside, made = (
        [Value(at.fresh(f"{node.outputs[0]}.sequence"), "") for _ in names]
        for names in (inputs, node.outputs)
    )
    attributes = without(node, "directions")
    if "directions" in node.attributes:
        attributes["scan_input_directions"] = node.attributes["directions"]
    given, results = (tuple(value.name for value in values) for values in (inside, made))
    scan = Node("Scan", given, results, attributes)
    sequence = Graph(tuple(inside), tuple(made), (scan,))
    batch = {"body": sequence, "num_scan_inputs": len(inputs)}
    return [Node("Scan", tuple(inputs), node.outputs, batch, node.name)]
