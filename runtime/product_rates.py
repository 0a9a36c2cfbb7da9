"""How fast this machine's products read weights of each format, one token at a time."""

import time
from dataclasses import dataclass

import numpy as np

from edge.format.formats import WeightFormat
from edge.format.spec import weight_format

from .bandwidth import buffer_bytes
from .kernels.catalogue import PRODUCTS
from .libraries.library import Library
from .lowering.buffers import FLOAT, Buffers
from .lowering.weights import Matrix
from .plan import Arena, Op, Plan
from .team import Team

COLUMNS = 2304  # whole blocks of every format, of 96 columns too
FILLING = 0x3C  # of every byte: scales near 1 as float16, small ones as float32, codes of all kinds
MOST_BYTES, CHUNK_BYTES, REPETITIONS = 64 * 2**20, 256 * 1024, 3


def product_rates(kernels: Library, threads: int) -> dict[str, float]:
    """GB/s of weights by format: the best of several passes, in turns, over memory of its own."""
    arena, team = Arena(), Team(kernels, threads, 0)
    weights = arena.array((min(MOST_BYTES, buffer_bytes()),), "u1")
    weights.fill(FILLING)
    products = {name: _product(kernels, weight_format(name), weights, threads) for name in PRODUCTS}
    seconds = dict.fromkeys(products, float("inf"))
    for _ in range(REPETITIONS):
        for name, product in products.items():
            started = time.perf_counter()
            team.run(product.plan, 1, 1)
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    team.close()
    return {name: product.nbytes / seconds[name] / 1e9 for name, product in products.items()}


@dataclass(frozen=True)
class _Product:
    """A plan of one product, bytes of weights that it reads, memory that it works in."""

    plan: Plan
    nbytes: int
    buffers: Buffers


def _product(kernels: Library, form: WeightFormat, weights: np.ndarray, threads: int) -> _Product:
    """Over as many tiles as there is memory for."""
    tile_bytes = form.tile_bytes(COLUMNS)
    tiles = len(weights) // tile_bytes
    w = Matrix("", form, 16 * tiles, COLUMNS, int(weights.ctypes.data), 0)
    buffers = Buffers(1)
    x = buffers.floats(COLUMNS)
    source = (x.address, x.stride, 0, 0, 0)
    if w.encoding != FLOAT:
        c = buffers.codes(COLUMNS, w.encoding)
        source = (c.address, c.stride, c.scales, c.starts, c.groups_stride)
    out, registers = buffers.floats(16 * tiles), buffers.arena.array((8,), "<i8")
    registers[1] = 1
    counts = int(registers.ctypes.data), int(registers.ctypes.data) + 8
    per_chunk = max(1, min(CHUNK_BYTES // tile_bytes, -(-tiles // (2 * threads))))
    arguments = (
        *counts, tiles, per_chunk, w.address, tile_bytes, w.steps, *source,
        out.address, out.stride, 0, 0,
    )  # fmt: skip
    plan = Plan([Op(f"matmul-{form}", arguments, -(-tiles // per_chunk))], kernels)
    return _Product(plan, tiles * tile_bytes, buffers)
