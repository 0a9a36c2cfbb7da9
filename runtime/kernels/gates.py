"""The elementwise part of a step of an LSTM or a GRU, and the int8 codes of the state it ends in.

What the gates see is a sum of two rows, each gate after gate without padding in between: of the
input, computed for all steps at once, and of the state.  A chunk is a run of sequences.
"""

from . import simd
from .activations import sigmoid, tanh
from .compiler import inline
from .matmul import arg
from .pixels import encode_pixels

(
    ROWS, ROWS_PER_CHUNK,  # sequences
    HIDDEN, STRIDE,  # elements of a state; bytes from one state to the next
    GATES, STATES, GATES_STRIDE,  # what input and state give to the gates
    H, C,  # the step before; C of an LSTM only
    NEW_H, NEW_C,  # may be H and C
    OUT,  # H once more; may be NEW_H
    SINK,  # address of pixels.py's table, or 0
    RESET,  # what a state that was reset gives to the gates
) = range(14)  # fmt: skip


def _rows(step):
    """A kernel of what becomes of 16 elements of a sequence."""

    def kernel(args, chunk, scratch):
        first = chunk * arg(args, ROWS_PER_CHUNK)
        last = min(first + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))
        size = 4 * arg(args, HIDDEN)
        for row in range(first, last):
            offset = row * arg(args, STRIDE)
            for at in range(0, size, 64):
                step(args, row * arg(args, GATES_STRIDE) + at, offset + at, size)
            _clear(arg(args, NEW_H) + offset, size, arg(args, STRIDE))
            _clear(arg(args, OUT) + offset, size, arg(args, STRIDE))
            if arg(args, NEW_C) != 0:
                _clear(arg(args, NEW_C) + offset, size, arg(args, STRIDE))
            if arg(args, SINK) != 0:
                encode_pixels(arg(args, SINK), row, 1, arg(args, NEW_H) + offset, 0)

    return kernel


@inline
def _clear(address, begin, end):
    """Zeros behind a row; the last vector of gates has read into the next gate."""
    for at in range(begin, end, 4):
        simd.store_f32(address + at, simd.float32(0))


@inline
def _seen(args, at):
    return simd.load_floats(arg(args, GATES) + at) + simd.load_floats(arg(args, STATES) + at)


@inline
def _store(args, state, h):
    simd.store_floats(arg(args, NEW_H) + state, h)
    simd.store_floats(arg(args, OUT) + state, h)


@inline
def _lstm(args, gate, state, size):
    """c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'); gates i, o, f, g."""
    i, o = sigmoid(_seen(args, gate)), sigmoid(_seen(args, gate + size))
    f, g = sigmoid(_seen(args, gate + 2 * size)), tanh(_seen(args, gate + 3 * size))
    c = f * simd.load_floats(arg(args, C) + state) + i * g
    simd.store_floats(arg(args, NEW_C) + state, c)
    _store(args, state, o * tanh(c))


@inline
def _gru(args, gate, state, size):
    """n = tanh(W x + sigmoid(r) R h); gates z, r, n."""
    r = sigmoid(_seen(args, gate + size))
    of_state = simd.load_floats(arg(args, STATES) + gate + 2 * size)
    _mixed(args, gate, state, r * of_state, size)


@inline
def _reset(args, gate, state, size):
    """sigmoid(r) h, for another product."""
    h = simd.load_floats(arg(args, H) + state)
    _store(args, state, sigmoid(_seen(args, gate + size)) * h)


@inline
def _after(args, gate, state, size):
    """n = tanh(W x + R (sigmoid(r) h))."""
    _mixed(args, gate, state, simd.load_floats(arg(args, RESET) + gate + 2 * size), size)


@inline
def _mixed(args, gate, state, of_state, size):
    """h' = n + sigmoid(z) (h - n)."""
    z = sigmoid(_seen(args, gate))
    n = tanh(simd.load_floats(arg(args, GATES) + gate + 2 * size) + of_state)
    h = simd.load_floats(arg(args, H) + state)
    _store(args, state, n + z * (h - n))


lstm, gru = _rows(_lstm), _rows(_gru)
gru_reset, gru_after = _rows(_reset), _rows(_after)
