"""Products of matrices."""

import numpy as np

from .registry import op


@op("MatMul")
def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float16 is multiplied as float32, for which there is a BLAS."""
    if a.dtype == np.float16:
        return (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16)
    return a @ b


@op("Gemm")
def gemm(
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> np.ndarray:
    """alpha A B + beta C."""
    product = matmul(a.T if transA else a, b.T if transB else b)
    if alpha != 1:
        product = (alpha * product).astype(a.dtype)
    if c is None:
        return product
    return product + (c if beta == 1 else (beta * c).astype(a.dtype))


@op("Einsum")
def einsum(*arrays: np.ndarray, equation: str) -> np.ndarray:
    return np.einsum(equation, *arrays, optimize=len(arrays) > 2)


@op("Det")
def det(x: np.ndarray) -> np.ndarray:
    return np.linalg.det(x)
