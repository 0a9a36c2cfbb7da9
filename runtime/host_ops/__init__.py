"""ONNX operators in NumPy: the definition of each, and what runs it where no kernel does.

A function takes inputs by position (None: an optional one that is not there) and attributes by
name, and gives an array or a tuple of them.  It may give back its input or a view of it, and never
writes into an input.
"""

from importlib import import_module

from .registry import OPS as OPS
from .registry import HostOp as HostOp

_MODULES = (
    *("activations", "attention", "comparison", "control", "convolution", "edge_ops"),
    *("elementwise", "image", "indexing", "matmul", "normalization", "pooling", "quantization"),
    *("random", "recurrent", "reductions", "resize", "sequences", "shapes", "signal", "strings"),
    *("trees", "types"),
)

for _module in _MODULES:
    import_module(f".{_module}", __package__)
