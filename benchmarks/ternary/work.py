"""A ternary matrix, a token, and what each of the kernels is called with."""

import ctypes
from collections.abc import Callable, Mapping

import numpy as np

from . import layouts

DOT, ADD, LOOK = "products of int8 (edge's)", "additions", "look-ups"
C_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
Functions = Mapping[str, Callable[..., None]]


class Work:
    """Random weights and codes, in every kernel's layout.

    masks  the layout for additions, which differs from one instruction set to another
    """

    def __init__(self, rows: int, columns: int, masks: Callable[[np.ndarray], np.ndarray]) -> None:
        random = np.random.default_rng(0)
        weights = random.integers(-1, 2, (rows, columns), np.int8)
        x = random.integers(-127, 128, columns).astype(np.int8)
        self.expected = weights.astype(np.int32) @ x.astype(np.int32)
        self.floats = aligned(np.zeros(rows, np.float32))  # of edge's own kernel
        self.sums = aligned(np.zeros(rows, np.int32))  # of the others
        self._arrays = {  # what the addresses below are of
            "x": aligned(x),
            "own": aligned(layouts.shipped(weights)),
            "masks": aligned(masks(weights)),
            "fours": aligned(layouts.fours(weights)),
            "tables": aligned(np.zeros((columns // 4, 32), np.uint8)),
            "scale": aligned(np.ones(1, np.float32)),
            "start": aligned(-x.sum(dtype=np.int32, keepdims=True)),
            "tokens": aligned(np.array([0, 1], np.int64)),
        }
        self._calls = self._arguments(rows, columns)

    def _arguments(self, rows: int, columns: int) -> dict[str, list[tuple[str, np.ndarray]]]:
        """Functions, in order, and the row of int64 that each reads."""
        at = {name: array.ctypes.data for name, array in self._arrays.items()}
        sums, tiles = self.sums.ctypes.data, rows // 16
        own = [
            at["tokens"], at["tokens"] + 8, tiles, tiles,
            at["own"], self._arrays["own"].strides[0], columns // 64,
            at["x"], columns, at["scale"], at["start"], 64,
            self.floats.ctypes.data, 4 * rows, 0, 0,
        ]  # fmt: skip
        calls = {
            DOT: [("dot", own)],
            ADD: [("add", [at["masks"], at["x"], sums, tiles])],
            LOOK: [
                ("tables", [0, at["x"], at["tables"], 0]),
                ("look", [at["fours"], at["tables"], sums, rows // 64]),
            ],
        }
        return {
            name: [(function, np.array(numbers, np.int64)) for function, numbers in steps]
            for name, steps in calls.items()
        }

    def run(self, functions: Functions, name: str) -> None:
        for function, arguments in self._calls[name]:
            functions[function](arguments.ctypes.data, 0, 0)

    def check(self, functions: Functions) -> None:
        """Raises SystemExit if a sum is wrong."""
        for name in self._calls:
            self.floats[:], self.sums[:] = 0, 0
            self.run(functions, name)
            wrong = (self.floats if name == DOT else self.sums) != self.expected
            if wrong.any():
                raise SystemExit(f"{name}: {wrong.sum()} of {wrong.size} sums are wrong")


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy on a 64-byte boundary."""
    room = np.zeros(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    found = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    found[...] = array
    return found
