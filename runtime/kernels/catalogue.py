"""Every kernel by name; building one imports Numba, naming one does not."""

from importlib import import_module
from typing import Any

KV_KINDS = ("float16", "int8", "int4", "float32")
ATTENTION_HEADS = (1, 2, 3, 4)  # query heads a chunk
GATES = ("silu", "gelu", "relu2")  # act(gate) * up
ALONE = ("exactgelu", "tanhgelu", "relu")  # act(x)
NORMS = [
    *((source, norm) for source in ("plain", *GATES) for norm in ("", "norm")),
    ("plain", "layernorm"),
    *((source, "") for source in ALONE),
]
SINKS = ("float", "group", "group16", "moment", "row", "row256")
PRODUCTS = {  # by weight format
    "float32": ("floats", "kernel", "float32"),
    "float16": ("floats", "kernel", "float16"),
    "int8": ("int8", "kernel"),
    **{f"int8-g{group}": ("grouped", "kernel", "int8", group, False) for group in (32, 64, 128)},
    "int5-g32": ("grouped", "kernel", "int5", 32, False),
    "int5-g32-offset": ("grouped", "kernel", "int5", 32, True),
    **{f"int4-g{group}": ("grouped", "kernel", "int4", group, False) for group in (32, 64, 128)},
    **{
        f"int4-g{group}-offset": ("grouped", "kernel", "int4", group, True)
        for group in (32, 64, 128)
    },
    "int6-g256": ("two_level", "kernel", "int6", False),
    **{f"{kind}-g256-offset": ("two_level", "kernel", kind, True) for kind in ("int5", "int4")},
    "int3-g256": ("two_level", "kernel", "int3", False),
    "int2-g256-offset": ("two_level", "kernel", "int2", True),
    **{f"code4-g{group}": ("code4", "kernel", group) for group in (32, 64, 128)},
    "ternary": ("ternary", "kernel", 0),
    "ternary-g256": ("ternary", "kernel", 256),
    "ternary-dense": ("ternary", "dense_kernel"),
}
WEIGHT_ONLY = tuple(  # kinds of codes, to multiply with activations that stay floats
    dict.fromkeys(name.partition("-g")[0] for name in PRODUCTS if not name.startswith("float"))
)
CONVOLVED = ("int8", "float32", "float16")
WINDOWS = ("depthwise", "max", "average")
SQUARES = (3, 5)  # sides of kernels that have code of their own


def _embedding(name: str) -> tuple[Any, ...]:
    kind, _, rest = name.partition("-g")
    group, _, offset = rest.partition("-")
    return "embedding", "kernel", kind, int(group or 0), bool(offset)


KERNELS: dict[str, tuple[Any, ...]] = {  # name: (module, factory, arguments)
    **{f"matmul-{name}": made for name, made in PRODUCTS.items()},
    **{f"embedding-{name}": _embedding(name) for name in PRODUCTS},
    **{f"weight-only-{kind}": ("weight_only", "kernel", kind) for kind in WEIGHT_ONLY},
    **{
        "-".join(filter(None, (source, norm, sink))): ("activations", "kernel", source, norm, sink)
        for source, norm in NORMS
        for sink in SINKS
    },
    **{f"convolution-{kind}": ("convolution", "kernel", kind) for kind in CONVOLVED},
    **{f"window-{kind}": ("windows", "kernel", kind) for kind in WINDOWS},
    **{f"window-depthwise-{n}": ("windows", "kernel", "depthwise", n) for n in SQUARES},
    "times-float": ("activations", "kernel", "times", "", "float"),  # x * up
    **{f"rope-{kind}": ("rope", "kernel", kind) for kind in KV_KINDS},
    **{
        f"attention-{kind}-h{heads}": ("attention", "kernel", kind, heads)
        for kind in KV_KINDS
        for heads in ATTENTION_HEADS
    },
}
FUNCTIONS = {  # name: (module, function), with nothing to choose
    "norm-add": ("activations", "norm_add"),
    "take-out": ("addends", "take_out"),
    "take-columns": ("addends", "take_columns"),
    "sparse-add": ("addends", "sparse_add"),
    "positions": ("embedding", "add_positions"),
    "bidirectional": ("bidirectional", "attention"),
    "softcap": ("activations", "softcap"),
    "elementwise": ("elementwise", "elementwise"),
    "move": ("moves", "move"),
    "resize": ("resize", "resize"),
    "masked-attention": ("scores", "attention"),
    "softmax": ("scores", "softmax"),
    "gates-lstm": ("gates", "lstm"),
    "gates-gru": ("gates", "gru"),
    "gates-gru-reset": ("gates", "gru_reset"),
    "gates-gru-after": ("gates", "gru_after"),
    "step": ("walk", "step"),
    "work": ("walk", "work"),
    "read": ("bandwidth", "read"),
}
NAMES = (*KERNELS, *FUNCTIONS)
OF_GRAPHS = frozenset(  # where there is no compiler, graphs run in NumPy without kernels
    name
    for name in NAMES
    if name.partition("-")[0]
    in ("convolution", "window", "elementwise", "move", "resize", "masked", "softmax", "gates")
)


def symbol(name: str) -> str:
    """The C function's name."""
    return "edge_" + name.replace("-", "_")


def build(name: str) -> Any:
    """The kernel as a Python function, ready to compile."""
    if name in FUNCTIONS:
        module, function = FUNCTIONS[name]
        return getattr(import_module(f".{module}", __package__), function)
    module, factory, *arguments = KERNELS[name]
    return getattr(import_module(f".{module}", __package__), factory)(*arguments)
