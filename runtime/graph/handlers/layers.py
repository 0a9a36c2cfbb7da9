"""Layers with a matrix: linear, convolution, embedding."""

from edge.format.graph import Node

from ..lowering import Lowering, handles
from ..sliding import sliding_of
from ..units.convolution import Convolution
from ..units.lookup import Lookup
from ..units.product import Product


@handles("edge.Linear")
def linear(self: Lowering, node: Node) -> bool:
    x = node.inputs[0]
    if not self.is_float(x):
        return False
    rows, columns = self.matrices.shape(node.attributes["weight"])
    if not self.shape(x) or self.shape(x)[-1] != columns:
        raise self.broken(node, f"{columns} columns", self.shape(x))
    matrix = self.weights.matrix(node.attributes["weight"], rows, columns)
    source, out = self.at(x), self.new(node)
    form = str(matrix.form)
    extra = matrix.outliers or matrix.sparse or matrix.low_rank or matrix.factor
    is_plain = not (extra or matrix.weight_only)
    if is_plain and form in ("int8", "float32", "float16"):
        self.add(Convolution(source, out, matrix, columns))
    else:
        self.add(Product(source, out, matrix))
    return True


@handles("edge.Conv")
def conv(self: Lowering, node: Node) -> bool:
    x, a = node.inputs[0], node.attributes
    if not self.is_float(x):
        return False
    rows, columns = self.matrices.shape(a["weight"])
    sliding, channels = sliding_of(node, a["kernel"], self.shape(x)), a["channels"]
    taps = sliding.kernel[0] * sliding.kernel[1]
    matrix = self.weights.matrix(a["weight"], rows, columns)
    widths = [channels] * matrix.form.is_float + [-(-channels // 16) * 16]
    if columns not in (taps * width for width in widths) or self.shape(x)[-1] != channels:
        raise self.broken(node, f"{taps} taps of {channels} channels", (columns, self.shape(x)))
    if (
        str(matrix.form) not in ("int8", "float32", "float16")
        or matrix.factor
        or matrix.weight_only
    ):
        return False
    n, height, width, _ = self.shape(x)
    source, out = self.at(x), self.new(node)
    self.add(Convolution(source, out, matrix, channels, (n, height, width), sliding))
    return True


@handles("edge.Embedding")
def embedding(self: Lowering, node: Node) -> bool:
    ids, name = node.inputs[0], node.attributes["weight"]
    found = self.fact(ids)
    rows, columns = self.matrices.shape(name)
    if found is None or found.dtype.kind not in "iu" or ids in self.places:
        return False
    matrix = self.weights.matrix(name, rows, columns)
    if matrix.outliers or matrix.sparse or matrix.low_rank or matrix.factor or matrix.bias:
        return False
    self.add(Lookup(ids, matrix, self.new(node)))
    return True
