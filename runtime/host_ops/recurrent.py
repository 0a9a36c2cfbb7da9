"""Recurrent layers: RNN, GRU and LSTM, in one or both directions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import activations as act
from .registry import op

Activation = Callable[[np.ndarray], np.ndarray]
State = tuple[np.ndarray, ...]
Step = Callable[[np.ndarray, State], State]

PLAIN: dict[str, Activation] = {
    "relu": act.relu,
    "tanh": np.tanh,
    "sigmoid": act.sigmoid,
    "softsign": act.softsign,
    "softplus": act.softplus,
}
WITH_ALPHA: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "leakyrelu": (act.leaky_relu, 0.01),
    "thresholdedrelu": (act.thresholded_relu, 1.0),
    "elu": (act.elu, 1.0),
}
WITH_BOTH: dict[str, tuple[Callable[..., np.ndarray], float, float]] = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, 1.0, 0.0),
    "scaledtanh": (lambda x, alpha, beta: alpha * np.tanh(beta * x), 1.0, 1.0),
    "hardsigmoid": (act.hard_sigmoid, 0.2, 0.5),
}


@dataclass(frozen=True)
class Settings:
    """Attributes that all three layers have."""

    activations: Sequence[str] | None = None
    activation_alpha: Sequence[float] = ()
    activation_beta: Sequence[float] = ()
    clip: float | None = None
    direction: str = "forward"
    hidden_size: int | None = None
    layout: int = 0

    @property
    def reversed(self) -> tuple[bool, ...]:
        return {"forward": (False,), "reverse": (True,)}.get(self.direction, (False, True))

    def functions(self, default: Sequence[str]) -> list[Activation]:
        """Of all directions, one after the other; what they are given is clipped."""
        names = self.activations or tuple(default) * len(self.reversed)
        alphas, betas = iter(self.activation_alpha), iter(self.activation_beta)
        return [self._clipped(_activation(name.lower(), alphas, betas)) for name in names]

    def _clipped(self, function: Activation) -> Activation:
        if self.clip is None:
            return function
        limit = self.clip
        return lambda x: function(np.clip(x, x.dtype.type(-limit), x.dtype.type(limit)))


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    """Takes what numbers it needs from the front of `alphas` and `betas`."""
    if name in WITH_ALPHA:
        function, alpha = WITH_ALPHA[name]
        alpha = next(alphas, alpha)
        return lambda x: function(x, alpha=alpha)
    if name in WITH_BOTH:
        both, alpha, beta = WITH_BOTH[name]
        alpha, beta = next(alphas, alpha), next(betas, beta)
        return lambda x: both(x, alpha=alpha, beta=beta)
    if name not in PLAIN:
        raise ValueError(f"activation {name!r}, which no recurrent layer has")
    return PLAIN[name]


def _steps(
    gates: np.ndarray, state: State, step: Step, lengths: np.ndarray | None, backwards: bool
) -> tuple[np.ndarray, State]:
    """h [T, N, H] of gates [T, N, G]; 0 and an unchanged state where a sequence has ended."""
    steps = len(gates)
    h = np.zeros((steps, *state[0].shape), state[0].dtype)
    for t in range(steps - 1, -1, -1) if backwards else range(steps):
        new = step(gates[t], state)
        if lengths is None:
            state, h[t] = new, new[0]
            continue
        goes_on = (t < lengths)[:, None]
        state = tuple(np.where(goes_on, n, old) for n, old in zip(new, state, strict=True))
        h[t] = np.where(goes_on, new[0], 0)
    return h, state


def _layer(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray,
    lengths: np.ndarray | None,
    initial: Sequence[np.ndarray | None],
    settings: Settings,
    step_of: Callable[[int], Step],
    hidden: int,
) -> State:
    """Y and the last states.  `step_of(direction)` goes from a state and its gates to the next.

    x [T, N, I], w [directions, G, I], bias [directions, G] of the gates; with layout 1 the batch
    is the first axis of everything.
    """
    x = x.swapaxes(0, 1) if settings.layout else x
    outputs: list[np.ndarray] = []
    finals: list[State] = []
    for d, backwards in enumerate(settings.reversed):
        state = tuple(_initial(s, d, x, hidden, settings.layout) for s in initial)
        gates = x @ w[d].T + bias[d]
        h, state = _steps(gates, state, step_of(d), lengths, backwards)
        outputs.append(h)
        finals.append(state)
    first = 2 if settings.layout else 1
    y = np.stack(outputs, axis=1)  # [T, directions, N, H]
    y = y.transpose(2, 0, 1, 3) if settings.layout else y
    return y, *(np.stack(states, axis=first - 1) for states in zip(*finals, strict=True))


def _initial(
    state: np.ndarray | None, direction: int, x: np.ndarray, hidden: int, layout: int
) -> np.ndarray:
    if state is None:
        return np.zeros((x.shape[1], hidden), x.dtype)
    return state[:, direction] if layout else state[direction]


def _biases(bias: np.ndarray | None, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the input and of the state, each [directions, G]."""
    if bias is None:
        nothing = np.zeros(r.shape[:2], r.dtype)
        return nothing, nothing
    input_bias, state_bias = np.split(bias, 2, axis=1)
    return input_bias, state_bias


@op("RNN")
def rnn(
    x: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    bias: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    initial_h: np.ndarray | None = None,
    **attributes: Any,
) -> State:
    """h = f(W x + R h + biases)."""
    settings = Settings(**attributes)
    functions = settings.functions(["Tanh"])
    of_input, of_state = _biases(bias, r)

    def step_of(d: int) -> Step:
        return lambda gates, state: (functions[d](gates + state[0] @ r[d].T),)

    return _layer(x, w, of_input + of_state, lengths, [initial_h], settings, step_of, r.shape[2])


@op("GRU")
def gru(
    x: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    bias: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    initial_h: np.ndarray | None = None,
    *,
    linear_before_reset: int = 0,
    **attributes: Any,
) -> State:
    """Gates z (update), r (reset) and h; `linear_before_reset`: r applies to R h, not to h."""
    settings, hidden = Settings(**attributes), r.shape[2]
    functions = settings.functions(["Sigmoid", "Tanh"])
    of_input, of_state = _biases(bias, r)

    def step_of(d: int) -> Step:
        f, g = functions[2 * d : 2 * d + 2]
        r_gates, r_new = r[d, : 2 * hidden].T, r[d, 2 * hidden :].T
        b_gates, b_new = of_state[d, : 2 * hidden], of_state[d, 2 * hidden :]

        def step(gates: np.ndarray, state: State) -> State:
            (h,) = state
            both = f(gates[:, : 2 * hidden] + h @ r_gates + b_gates)
            z, reset = both[:, :hidden], both[:, hidden:]
            if linear_before_reset:
                seen = reset * (h @ r_new + b_new)
            else:
                seen = (reset * h) @ r_new + b_new
            return ((1 - z) * g(gates[:, 2 * hidden :] + seen) + z * h,)

        return step

    return _layer(x, w, of_input, lengths, [initial_h], settings, step_of, hidden)


@op("LSTM")
def lstm(
    x: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    bias: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    initial_h: np.ndarray | None = None,
    initial_c: np.ndarray | None = None,
    peepholes: np.ndarray | None = None,
    *,
    input_forget: int = 0,
    **attributes: Any,
) -> State:
    """Gates i, o, f and c; peepholes [directions, 3 H] let i, o and f see the cell."""
    settings, hidden = Settings(**attributes), r.shape[2]
    functions = settings.functions(["Sigmoid", "Tanh", "Tanh"])
    of_input, of_state = _biases(bias, r)
    if peepholes is None:
        peepholes = np.zeros((len(r), 3 * hidden), x.dtype)

    def step_of(d: int) -> Step:
        f, g, h_of = functions[3 * d : 3 * d + 3]
        see_i, see_o, see_f = np.split(peepholes[d], 3)

        def step(gates: np.ndarray, state: State) -> State:
            h, c = state
            i, o, forget, new = np.split(gates + h @ r[d].T, 4, axis=1)
            i = f(i + see_i * c)
            forget = 1 - i if input_forget else f(forget + see_f * c)
            c = forget * c + i * g(new)
            return f(o + see_o * c) * h_of(c), c

        return step

    states = [initial_h, initial_c]
    return _layer(x, w, of_input + of_state, lengths, states, settings, step_of, hidden)


@op("edge.LSTM", takes_matrices=True)
def lstm_of_gates(
    gates: np.ndarray,
    h: np.ndarray | None = None,
    c: np.ndarray | None = None,
    *,
    weight: str,
    reverse: int = 0,
    matrices: Any,
) -> State:
    """y [T, N, H], and the last h and c [N, H], of what the input gives to each gate.

    gates   [T, N, 4 H]: of i, o, f and c, as ONNX's LSTM has them
    weight  [4 H, H]: what h gives to them
    """
    matrix, bias = matrices.dense(weight)

    def step(of_input: np.ndarray, state: State) -> State:
        h, c = state
        i, o, forget, new = np.split(of_input + _product(h, matrix, bias), 4, axis=1)
        c = act.sigmoid(forget) * c + act.sigmoid(i) * np.tanh(new)
        return act.sigmoid(o) * np.tanh(c), c

    return _along(gates, (h, c), step, matrix.shape[1], reverse)


@op("edge.GRU", takes_matrices=True)
def gru_of_gates(
    gates: np.ndarray,
    h: np.ndarray | None = None,
    *,
    weight: str,
    reverse: int = 0,
    reset_first: int = 0,
    matrices: Any,
) -> State:
    """y [T, N, H], and the last h [N, H], of what the input gives to each gate.

    gates        [T, N, 3 H]: of z, r and h, as ONNX's GRU has them
    weight       [3 H, H]: what h gives to them, and a bias if z, r and h have one on that side
    reset_first  1: r applies to h, 0: to what h gives (ONNX's linear_before_reset)
    """
    matrix, bias = matrices.dense(weight)
    hidden = matrix.shape[1]

    def step(of_input: np.ndarray, state: State) -> State:
        (h,) = state
        seen = _product(h, matrix, bias)
        z, r = np.split(act.sigmoid((of_input + seen)[:, : 2 * hidden]), 2, axis=1)
        seen = _product(r * h, matrix, bias) if reset_first else seen * np.tile(r, 3)
        new = np.tanh(of_input[:, 2 * hidden :] + seen[:, 2 * hidden :])
        return ((1 - z) * new + z * h,)

    return _along(gates, (h,), step, hidden, reverse)


def _product(h: np.ndarray, matrix: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    product: np.ndarray = h @ matrix.T
    return product if bias is None else product + bias


def _along(
    gates: np.ndarray,
    initial: Sequence[np.ndarray | None],
    step: Step,
    hidden: int,
    reverse: int,
) -> State:
    """In float32 whatever the type of the gates, which the results have."""
    zeros = np.zeros((gates.shape[1], hidden), np.float32)
    state = tuple(zeros if s is None else s.astype(np.float32, copy=False) for s in initial)
    y, last = _steps(gates.astype(np.float32, copy=False), state, step, None, bool(reverse))
    return tuple(array.astype(gates.dtype, copy=False) for array in (y, *last))
