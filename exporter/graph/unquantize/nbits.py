"""com.microsoft.MatMulNBits: codes of 2, 4 or 8 bits in blocks of the columns, packed."""

import numpy as np

from edge.errors import SourceError, UnsupportedModel
from edge.format.graph import Node

from ..grid import grid_of, spread
from .draft import Draft


def matmul_nbits(draft: Draft, node: Node) -> list[Node] | None:
    """MatMul with W [K, N], and Add of a bias (ONNX Runtime, docs/ContribOperators.md).

    B is uint8 [N, blocks, bytes of a block], low bits first; scales [N x blocks], zero points packed
    as B is, a row's in whole bytes (or floats), 2^(bits - 1) if there are none.
    """
    a, b, scale, zero, order, bias = (*node.inputs, "", "", "")[:6]
    if order:
        raise UnsupportedModel(f"operator {node}: g_idx, scattered groups of columns")
    packed, scales = draft.constant(b), draft.constant(scale)
    if packed is None or scales is None:
        return None
    n, k, block = (int(node.attributes.get(key, 0)) for key in ("N", "K", "block_size"))
    bits = int(node.attributes.get("bits", 4))
    if min(n, k, block) < 1 or bits not in (2, 4, 8):
        raise SourceError(f"operator {node}: {n} x {k} weights of {bits} bits, blocks of {block}")
    blocks = -(-k // block)
    if packed.size != n * blocks * block * bits // 8 or scales.size != n * blocks:
        raise SourceError(
            f"operator {node}: {packed.size} bytes and {scales.size} scales for {n} x {k} weights of "
            f"{bits} bits in blocks of {block}"
        )
    codes = _unpacked(packed.reshape(n, -1), bits)[:, :k]
    scales = scales.reshape(n, blocks)
    zeros = _zeros(draft.constant(zero) if zero else None, bits, n, blocks)
    if zeros is None:
        raise SourceError(f"operator {node}: zero points that are not one for each block")
    steps = spread(scales.astype(np.float32), codes.shape, 1, block)
    values = (codes - spread(zeros.astype(np.float32), codes.shape, 1, block)) * steps
    values = np.ascontiguousarray(values.T).astype(scales.dtype)
    weight = draft.add_constant(values, b.removesuffix("_Q4"))
    grid = grid_of(codes, scales, zeros, block) if zeros.dtype != np.float32 else None
    if grid is not None:
        draft.grids[weight] = grid
    product = draft.fresh(f"{node.outputs[0]}_product") if bias else node.outputs[0]
    nodes = [Node("MatMul", (a, weight), (product,), {}, node.name)]
    return [*nodes, Node("Add", (product, bias), node.outputs)] if bias else nodes


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """uint8 [rows, codes] of uint8 [rows, bytes]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = packed[:, :, None] >> shifts & np.uint8(2**bits - 1)
    return codes.reshape(len(packed), -1)


def _zeros(zeros: np.ndarray | None, bits: int, n: int, blocks: int) -> np.ndarray | None:
    """int16 or float32 [N, blocks]; None if there are not as many."""
    if zeros is None:
        return np.full((n, blocks), 2 ** (bits - 1), np.int16)
    if zeros.dtype != np.uint8:
        return zeros.reshape(n, blocks).astype(np.float32) if zeros.size == n * blocks else None
    if zeros.size != n * -(-blocks * bits // 8):
        return None
    return _unpacked(zeros.reshape(n, -1), bits)[:, :blocks].astype(np.int16)
