"""Run random models where every buffer and tensor ends at a page that must not be touched.

    python -m tests.attacks.guarded FOLDER BEGIN END     models of seeds BEGIN..END-1

One byte read or written beyond a buffer, and the process dies of a segmentation fault.  Numba
checks no bounds, so this is the check.
"""

import ctypes
import mmap
import sys
from pathlib import Path
from random import Random

import numpy as np

from edge.format.config import DecoderConfig
from edge.format.reader import EdgeFile
from edge.runtime.kv_cache import KINDS
from edge.runtime.model import Model
from edge.runtime.plan import Arena
from tests.attacks import random_model

LINE, PAGE = 64, mmap.PAGESIZE
PROT_NONE, PROT_READ_WRITE, PRIVATE_ANONYMOUS = 0, 3, 0x22
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class GuardedMemory:
    """Zeroed blocks that touch a page without access, behind or before them; never given back."""

    def __init__(self, at_end: bool):
        self.at_end = at_end

    def block(self, nbytes: int) -> np.ndarray:
        """uint8 [nbytes rounded up to 64], 64-byte aligned."""
        size = -(-max(nbytes, 1) // LINE) * LINE
        pages = -(-size // PAGE) * PAGE
        base = _libc.mmap(None, pages + 2 * PAGE, PROT_NONE, PRIVATE_ANONYMOUS, -1, 0)
        assert _libc.mprotect(base + PAGE, pages, PROT_READ_WRITE) == 0
        address = base + PAGE + (pages - size if self.at_end else 0)
        memory = (ctypes.c_uint8 * size).from_address(address)
        return np.frombuffer(memory, np.uint8)


def run(path: Path, seed: int) -> None:
    """Steps of several sizes of one model, its arena and tensors guarded."""
    random = Random(seed)
    memory = GuardedMemory(at_end=seed % 2 == 0)
    allocate, address = Arena.allocate, EdgeFile.address
    copies: dict[str, np.ndarray] = {}

    def guarded_allocate(self: Arena, nbytes: int) -> int:
        self._blocks.append(memory.block(nbytes))
        self.nbytes += nbytes
        return int(self._blocks[-1].ctypes.data)

    def guarded_address(self: EdgeFile, name: str) -> int:
        if name not in copies:
            copies[name] = memory.block(self.info(name).nbytes)
            copies[name][:] = self.view(name)
        return int(copies[name].ctypes.data)

    Arena.allocate, EdgeFile.address = guarded_allocate, guarded_address
    try:
        config = random_model.write(path, seed)
        steps(EdgeFile(path), config, random)
    finally:
        Arena.allocate, EdgeFile.address = allocate, address


def steps(file: EdgeFile, config: DecoderConfig, random: Random) -> None:
    """A context filled to its last position."""
    context, threads = random.choice([1, 7, 16, 17, 40]), random.randint(1, 3)
    batch = random.choice([1, 3, 8, 9, 256])
    kv = random.choice([kind for kind in KINDS if kind != "int4" or config.head_dim % 32 == 0])
    model = Model(file, context=context, batch=batch, threads=threads, kv=kv)
    left = context
    while left:
        count = min(left, random.choice([1, 1, 2, 4, 5, 8, 13]))
        left -= count
        tokens = [random.choice([0, config.vocabulary - 1]) for _ in range(count)]
        assert model.forward(tokens).shape == (1, config.vocabulary)
    model.close()


def main(folder: str, begin: str, end: str) -> None:
    for seed in range(int(begin), int(end)):
        print(seed, flush=True)
        run(Path(folder) / "random.edge", seed)


if __name__ == "__main__":
    main(*sys.argv[1:])
