"""One layer of a model by itself, for whoever wants to see what its matrices read."""

import ctypes
from collections.abc import Callable, Iterator
from itertools import takewhile

import numpy as np

from edge.format.encoder_config import EncoderConfig
from edge.format.reader import EdgeFile

from ..kv_cache import KvCache, cache_shape
from ..libraries.library import Library
from ..plan import Op, Plan
from ..team import Team
from . import decoder, encoder
from .decoder import DecoderLowering
from .encoder import EncoderLowering

Seen = Callable[[tuple[str, ...], np.ndarray], None]
STEPS, X, X_STRIDE = 6, 7, 8  # arguments of a product (kernels/matmul.py)


class Block:
    """Layer 0 of `file`, all of whose matrices are float32; `tokens` at most at a time.

    The plan is the model's, cut before each matrix that reads something new.
    """

    def __init__(self, file: EdgeFile, library: Library, threads: int, tokens: int):
        self._program, scratch = _lowering(file, threads, tokens)
        self._program.layer(0)
        self._stages = [(Plan(ops, library), read) for ops, read in _stages(self._program.ops)]
        self._names = {file.address(name): name for name in file.tensors}
        self._team = Team(library, threads, scratch)
        self._team.keep(file, self._program, self._stages)
        self._x = _view(self._program.x.address, tokens, self._program.x.stride)

    def run(self, x: np.ndarray, seen: Seen) -> None:
        """Replace x, float32 [texts, tokens, hidden], with the layer's output for these positions.

        Texts are read together; of a decoder, one.  `seen` gets names of matrices and what they are
        about to read, float32 [texts * tokens, columns].
        """
        texts, tokens, hidden = x.shape
        tokens *= texts
        self._program.begin(tokens, texts)
        self._x[:tokens, :hidden] = x.reshape(tokens, hidden)
        for plan, readers in self._stages:
            self._team.run(plan, tokens, texts)
            if readers:
                names = tuple(self._names[op.weights[0]] for op in readers)
                seen(names, _input(readers[0], tokens))
        x[:] = self._x[:tokens, :hidden].reshape(x.shape)

    def close(self) -> None:
        self._team.close()


def _lowering(
    file: EdgeFile, threads: int, tokens: int
) -> tuple[DecoderLowering | EncoderLowering, int]:
    """What lowers the file's kind of model, and the memory a thread needs."""
    if isinstance(file.config, EncoderConfig):
        return EncoderLowering(file, threads, tokens), encoder.scratch_bytes(file.config)
    cache = KvCache(cache_shape(file.config, "float32", tokens))
    return DecoderLowering(file, cache, threads, tokens, 1), decoder.scratch_bytes(tokens)


def _stages(ops: list[Op]) -> Iterator[tuple[list[Op], list[Op]]]:
    """Ops to run, and the products after them that then all read the same."""
    stage: list[Op] = []
    source = 0
    for i, op in enumerate(ops):
        if _is_product(op) and op.arguments[X] != source:
            source = op.arguments[X]
            yield stage, list(takewhile(lambda o: _reads(o, source), ops[i:]))  # noqa: B023
            stage = []
        elif not _is_product(op):
            source = 0
        stage.append(op)
    yield stage, []


def _is_product(op: Op) -> bool:
    return op.weights != (0, 0)


def _reads(op: Op, source: int) -> bool:
    return _is_product(op) and op.arguments[X] == source


def _input(product: Op, tokens: int) -> np.ndarray:
    stride, columns = product.arguments[X_STRIDE], product.arguments[STEPS]
    return _view(product.arguments[X], tokens, stride)[:, :columns]


def _view(address: int, rows: int, stride: int) -> np.ndarray:
    """float32 [rows, stride / 4] at an address."""
    memory = (ctypes.c_float * (rows * stride // 4)).from_address(address)
    return np.ctypeslib.as_array(memory).reshape(rows, -1)
