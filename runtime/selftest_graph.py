"""What the self-test asks of graphs' kernels: found, expected, and the sum of absolute terms.

Each is run as its unit (graph/units) lowers it, on an image whose sizes fill no block.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edge.format import tiles
from edge.format.formats import QuantizedTensor
from edge.format.spec import weight_format

from .graph.sliding import Sliding
from .graph.storage import Memory, Place, place
from .graph.units.attention import Attention, Softmax
from .graph.units.chain import Chain, Instruction, Operand
from .graph.units.convolution import Convolution
from .graph.units.host import view
from .graph.units.move import Move
from .graph.units.resize import Resize
from .graph.units.unit import Context, Unit
from .graph.units.window import Window
from .host_ops.edge_ops import attention, taps
from .lowering.weights import Matrix
from .plan import Plan
from .single_ops import Bench, address

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
IMAGE = 2, 9, 14, 40
SLIDING = Sliding((3, 2), (2, 1), (1, 1, 1, 0), (1, 2))
ROWS = 24


def _image(bench: Bench, shape: tuple[int, ...] = IMAGE) -> tuple[Place, np.ndarray]:
    """Random floats in a place, and a view of them."""
    return _filled(bench, bench.random.standard_normal(shape).astype(np.float32))


def _filled(bench: Bench, values: np.ndarray) -> tuple[Place, np.ndarray]:
    there = _empty(bench, values.shape)
    view(there)[:] = values
    return there, view(there)


def _empty(bench: Bench, shape: tuple[int, ...]) -> Place:
    there = place(shape)
    there.buffer.address = address(bench.zeros(there.rows * there.width))
    return there


def _run(bench: Bench, *units: Unit) -> None:
    context = Context(2, Memory(bench.arena), None)  # type: ignore[arg-type]
    ops = [op for unit in units for op in unit.ops(context)]
    bench.team.run(Plan(ops, bench.kernels), 1, 1)


def _slid(shape: tuple[int, ...], channels: int, s: Sliding = SLIDING) -> tuple[int, ...]:
    return shape[0], *s.places(*shape[1:3]), channels


def _convolution(bench: Bench, name: str) -> Found:
    """A convolution with a residual and a clamp; its own codes are what is convolved."""
    form = weight_format(name.partition("-")[2])
    channels, count = IMAGE[3], SLIDING.kernel[0] * SLIDING.kernel[1]
    full = np.zeros((ROWS, count, 48), np.float32)
    full[..., :channels] = _halves(bench, (ROWS, count, channels))
    flat = full.reshape(ROWS, -1)
    if form.is_float:
        weights, packed = flat, tiles.pack_floats(flat, form.kind)
    else:
        codes = np.clip(np.round(flat * 40) + 128, 0, 255).astype(np.uint8)
        scales = bench.random.uniform(0.01, 0.03, (ROWS, 1)).astype(np.float32)
        tensor = QuantizedTensor(form, codes, scales)
        weights, packed = tensor.dequantize(), tiles.pack(tensor)
    bias = bench.normal(1, 32)
    stored = bench.place(packed)
    matrix = Matrix("", form, ROWS, flat.shape[1], address(stored), address(bias))
    x, seen = _image(bench)
    shape = _slid(IMAGE, ROWS)
    residual, added = _image(bench, shape)
    unit = Convolution(
        x, _empty(bench, shape), matrix, channels, IMAGE[:3], SLIDING, residual, -2, 3
    )
    units: list[Unit] = [unit]
    values = seen.astype(np.float64)
    unit.codes = unit.wanted_codes()
    if unit.codes is not None:
        unit.codes.buffer.address = address(bench.zeros(unit.codes.buffer.nbytes, dtype="u1"))
        units = [Chain(x, None, unit.codes), unit]
        scale = np.abs(seen).max(axis=3, keepdims=True) / np.float32(127)
        values = np.round(seen * (np.float32(1) / scale)).astype(np.float64) * scale
    _run(bench, *units)
    by_tap = weights.reshape(ROWS, *SLIDING.kernel, 48)[..., :channels].astype(np.float64)
    total: np.ndarray = np.zeros(shape)
    magnitude: np.ndarray = np.zeros(shape)
    s = SLIDING
    for (i, j), part in taps(values, s.kernel, s.strides, s.pads, s.dilations):
        total = total + part @ by_tap[:, i, j].T
        magnitude = magnitude + np.abs(part) @ np.abs(by_tap[:, i, j].T)
    expected = np.clip(total + bias[0, :ROWS] + added, -2, 3)
    return view(unit.out), expected, magnitude


def _halves(bench: Bench, shape: tuple[int, ...]) -> np.ndarray:
    return bench.random.standard_normal(shape).astype(np.float16).astype(np.float32)


def _window(bench: Bench, name: str) -> Found:
    _, kind, *squares = name.split("-")
    size = int(squares[0]) if squares else 0
    s = replace(SLIDING, kernel=(size, size)) if size else SLIDING
    x, seen = _image(bench)
    shape = _slid(IMAGE, IMAGE[3], s)
    weight, bias = (
        bench.random.standard_normal(size).astype(np.float32)
        for size in ((*s.kernel, IMAGE[3]), IMAGE[3:])
    )
    unit = Window(kind, x, _empty(bench, shape), s, weight, bias, low=-1, high=2)
    _run(bench, unit)
    values = seen.astype(np.float64)
    parts = list(taps(values, s.kernel, s.strides, s.pads, s.dilations, np.nan))
    if kind == "max":
        expected = np.nanmax([part for _, part in parts], axis=0)
    elif kind == "average":
        expected = np.nanmean([part for _, part in parts], axis=0)
    else:
        expected = np.nansum([part * weight[tap] for tap, part in parts], axis=0) + bias
        expected = np.clip(expected, -1, 2)
    return view(unit.out), expected, np.full(shape, 9.0)


def _resize(bench: Bench, name: str) -> Found:
    """To a larger height and a smaller width, between pixels and on them."""
    x, seen = _image(bench)
    n, height, width, channels = IMAGE
    shape = n, height + 5, width - 4, channels
    at = [
        np.linspace(0, size - 1, wanted)
        for size, wanted in zip(IMAGE[1:3], shape[1:3], strict=True)
    ]
    taps_of = [_linear(one, size) for one, size in zip(at, IMAGE[1:3], strict=True)]
    unit = Resize(x, _empty(bench, shape), *taps_of)
    _run(bench, unit)
    expected = np.zeros(shape)
    (rows, down), (columns, across) = taps_of
    for i in range(2):
        for j in range(2):
            weight = down[:, i, None, None].astype(np.float64) * across[:, j, None]
            expected += weight * seen[:, rows[:, i]][:, :, columns[:, j]]
    return view(unit.out), expected, np.full(shape, 4.0)


def _linear(at: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    low = np.minimum(at.astype(np.int64), size - 2)
    part = (at - low).astype(np.float32)
    return np.stack([low, low + 1], 1), np.stack([1 - part, part], 1)


def _elementwise(bench: Bench, name: str) -> Found:
    """All instructions one after the other, over operands of every kind of shape."""
    x, seen = _image(bench)
    y, scaled = _image(bench, (IMAGE[0], 1, 1, IMAGE[3]))
    z, one = _image(bench, (*IMAGE[:3], 1))
    a, b, c = Operand(x), Operand(y), Operand(z)
    half = Operand(None, np.array([0.5], np.float32))

    def do(op: str, *inputs: Operand | Instruction) -> Instruction:
        return Instruction(op, inputs)

    total = do("fma", a, b, c)
    positive = do("add", do("abs", total), half)
    root = do("sub", do("sqrt", positive), do("reciprocal", positive))
    for op in ("sigmoid", "tanh", "exp", "silu", "exactgelu", "tanhgelu", "relu", "neg", "copy"):
        root = do("add", root, do(op, do("clamp", total, do("neg", half), half)))
    root = do("div", do("mul", root, c), do("max", do("min", b, half), half))
    unit = Chain(_empty(bench, IMAGE), root)
    _run(bench, unit)
    with np.errstate(all="ignore"):
        expected = _evaluated(root, {a: seen, b: scaled, c: one, half: np.array(0.5)})
    return view(unit.out), expected, 20 * np.abs(expected)


def _evaluated(one: Operand | Instruction, values: dict[Operand, np.ndarray]) -> np.ndarray:
    if isinstance(one, Operand):
        return values[one].astype(np.float64)
    result: np.ndarray = _INSTRUCTIONS[one.op](*(_evaluated(x, values) for x in one.inputs))
    return result


_ERF = np.vectorize(math.erf)
_INSTRUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: _sigmoid(x),
    "tanh": np.tanh,
    "exp": np.exp,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "exactgelu": lambda x: x / 2 * (1 + _ERF(x / math.sqrt(2))),
    "tanhgelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "sqrt": np.sqrt,
    "neg": np.negative,
    "abs": np.abs,
    "reciprocal": np.reciprocal,
    "copy": lambda x: x,
    "clamp": np.clip,
    "fma": lambda a, b, c: a * b + c,
}


def _move(bench: Bench, name: str) -> Found:
    """Channels first, and every other row of them."""
    x, seen = _image(bench)
    n, height, width, channels = IMAGE
    shape = n, channels, height // 2, width
    out, step = _empty(bench, shape), x.steps()
    steps = step[0], step[3], 2 * step[1], step[2]
    _run(bench, Move(x, out, shape, step[1], steps, 0, out.steps()))
    expected = seen[:, 1::2].transpose(0, 3, 1, 2).astype(np.float64)
    return view(out), expected, np.zeros(shape)


def _masked_attention(bench: Bench, name: str) -> Found:
    """Two texts, four heads of queries that share two of keys, 13 queries of 21 keys."""
    q, queries = _image(bench, (2, 13, 4 * 32))
    (k, keys), (v, values) = (_image(bench, (2, 21, 2 * size)) for size in (32, 48))
    mask, added = _image(bench, (2, 1, 13, 21))
    out = _empty(bench, (2, 13, 4 * 48))
    _run(bench, Attention(q, k, v, mask, out, 4, 2, 0.2))
    wide = [x.astype(np.float64) for x in (queries, keys, values, added)]
    expected = attention(*wide, heads=4, kv_heads=2, scale=0.2)
    return view(out), expected, np.full(out.shape, 10.0)


def _softmax(bench: Bench, name: str) -> Found:
    x, seen = _image(bench)
    out = _empty(bench, IMAGE)
    _run(bench, Softmax(x, out))
    shares = np.exp(seen.astype(np.float64))
    return view(out), shares / shares.sum(axis=3, keepdims=True), np.zeros(IMAGE)


def _gates(bench: Bench, name: str) -> Found:
    """A step of five sequences; the states' 20 elements fill no vector, nor do gates begin at one."""
    batch, hidden, is_lstm = 5, 20, name == "gates-lstm"
    width = (4 if is_lstm else 3) * hidden
    (given, of_input), (seen, of_state), (other, of_reset) = (
        _image(bench, (batch, width)) for _ in range(3)
    )
    (h, before), (c, cell) = (_image(bench, (batch, hidden)) for _ in range(2))
    new_h, new_c, out = (_empty(bench, (batch, hidden)) for _ in range(3))
    bench.run(
        name, batch, 2, hidden, h.stride, given.address, seen.address, given.stride,
        h.address, c.address, new_h.address, new_c.address if is_lstm else 0,
        out.address, 0, other.address, chunks=3,
    )  # fmt: skip
    x, r, after = (
        a.astype(np.float64).reshape(batch, -1, hidden) for a in (of_input, of_state, of_reset)
    )
    gates = _sigmoid(x + r).swapaxes(0, 1)
    if is_lstm:
        new = gates[2] * cell + gates[0] * np.tanh((x + r)[:, 3])
        expected = [gates[1] * np.tanh(new), new]
    elif name == "gates-gru-reset":
        expected = [gates[1] * before]
    else:
        new = np.tanh(x[:, 2] + (gates[1] * r[:, 2] if name == "gates-gru" else after[:, 2]))
        expected = [(1 - gates[0]) * new + gates[0] * before]
    found = np.concatenate([view(new_h), view(out), *([view(new_c)] if is_lstm else [])])
    wanted = np.concatenate([expected[0], *expected])
    return found, wanted, np.full(found.shape, 4.0)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


GRAPHS: dict[str, Callable[[Bench, str], Found]] = {  # by the first word of a kernel's name
    "convolution": _convolution,
    "window": _window,
    "elementwise": _elementwise,
    "move": _move,
    "resize": _resize,
    "masked": _masked_attention,
    "softmax": _softmax,
    "gates": _gates,
}
