"""edge's own operators: what they mean, in float32.

Products are summed in float32 whatever the type of x, which the result has.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .attention import shares
from .registry import op


@op("edge.Linear", takes_matrices=True)
def linear(x: np.ndarray, *, weight: str, matrices: Any) -> np.ndarray:
    """y [..., rows] of x [..., columns]."""
    matrix, bias = matrices.dense(weight)
    rows = x.reshape(-1, x.shape[-1]).astype(np.float32, copy=False)
    return _biased(rows @ matrix.T, bias).reshape(*x.shape[:-1], len(matrix)).astype(x.dtype)


@op("edge.Embedding", takes_matrices=True)
def embedding(ids: np.ndarray, *, weight: str, matrices: Any) -> np.ndarray:
    """Rows float32 [..., columns] for ids [...]; negative ones count from the last row."""
    table, _ = matrices.dense(weight)
    return table[ids]


@op("edge.Conv", takes_matrices=True)
def conv(
    x: np.ndarray,
    *,
    weight: str,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    channels: int,
    matrices: Any,
) -> np.ndarray:
    """y [N, H', W', rows] of x [N, H, W, channels].

    pads     zeros above, left, below, right
    weight   [rows, kernel height x kernel width x channels], the channel fastest; of codes, the
             channels of each tap are padded to 16
    """
    matrix, bias = matrices.dense(weight)
    by_tap = matrix.reshape(len(matrix), *kernel, -1)[..., :channels]
    y: Any = 0
    for (i, j), seen in taps(x.astype(np.float32, copy=False), kernel, strides, pads, dilations):
        y = y + seen @ by_tap[:, i, j].T
    return _biased(y, bias).astype(x.dtype)


@op("edge.Depthwise")
def depthwise(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
) -> np.ndarray:
    """y [N, H', W', C] of x [N, H, W, C] and w [kernel height, kernel width, C]."""
    kernel = w.shape[0], w.shape[1]
    y: Any = 0
    for tap, seen in taps(x.astype(np.float32, copy=False), kernel, strides, pads, dilations):
        y = y + seen * w[tap]
    return _biased(y, bias).astype(x.dtype)


@op("edge.Attention")
def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    heads: int,
    kv_heads: int,
    scale: float,
) -> np.ndarray:
    """softmax(scale Q K^T + mask) V, [N, S, heads x D']; 0 for a query that sees no key.

    q     [N, S, heads x D]
    k, v  [N, T, kv_heads x D], [N, T, kv_heads x D']; heads / kv_heads queries share a head of them
    mask  what to add to the scores, broadcastable to [N, heads, S, T]
    """
    keys, values = (np.repeat(_by_head(x, kv_heads), heads // kv_heads, axis=1) for x in (k, v))
    scores = _by_head(q, heads) @ keys.swapaxes(2, 3) * np.float32(scale)
    if mask is not None:
        scores = scores + mask.astype(np.float32, copy=False)
    mixed = shares(scores) @ values
    n, _, positions, width = mixed.shape
    by_token: np.ndarray = mixed.transpose(0, 2, 1, 3).reshape(n, positions, heads * width)
    return by_token.astype(q.dtype)


@op("edge.DepthToSpace")
def depth_to_space(x: np.ndarray, *, block: tuple[int, int]) -> np.ndarray:
    """y [N, H bh, W bw, C] of x [N, H, W, bh x bw x C]: every place's rows become a block."""
    (n, h, w, depth), (height, width) = x.shape, block
    channels = depth // (height * width)
    blocks = x.reshape(n, h, w, height, width, channels).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, h * height, w * width, channels)


@op("edge.MaxPool")
def max_pool(
    x: np.ndarray,
    *,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    ceil_mode: int = 0,
) -> np.ndarray:
    """y [N, H', W', C]: the largest that a kernel sees of x [N, H, W, C]; padding is not seen.

    ceil_mode  1: a last window may reach beyond the padding, if it does not begin there
    """
    more = _reaching(x, kernel, strides, pads, dilations) if ceil_mode else pads
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    windows = taps(x, kernel, strides, more, dilations, least)
    return np.maximum.reduce([seen for _, seen in windows])


@op("edge.AveragePool")
def average_pool(
    x: np.ndarray,
    *,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    ceil_mode: int = 0,
    count_include_pad: int = 0,
) -> np.ndarray:
    """y [N, H', W', C]: the mean of what a kernel sees of x [N, H, W, C].

    count_include_pad  1: zeros of the padding count, but not what `ceil_mode` reaches beyond it
    """
    more = _reaching(x, kernel, strides, pads, dilations) if ceil_mode else pads
    top, left, below, right = pads
    inside = ((0, 0), (top, below), (left, right), (0, 0))
    ones = np.ones((1, *x.shape[1:3], 1), np.float32)
    ones = np.pad(ones, inside, constant_values=1 if count_include_pad else 0)
    beyond = (0, 0, more[2] - below, more[3] - right)
    counts = sum(seen for _, seen in taps(ones, kernel, strides, beyond, dilations))
    wide = x.astype(np.float32, copy=False)
    sums: Any = sum(seen for _, seen in taps(wide, kernel, strides, more, dilations))
    mean: np.ndarray = sums / counts
    return mean.astype(x.dtype)


def _reaching(
    x: np.ndarray,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
) -> tuple[int, int, int, int]:
    """Padding with which a last window that does not fit is there, as ONNX's ceil_mode has it."""
    more = []
    for axis in range(2):
        reach, size = dilations[axis] * (kernel[axis] - 1) + 1, x.shape[axis + 1]
        room = size + pads[axis] + pads[axis + 2] - reach
        count = -(-room // strides[axis]) + 1
        if (count - 1) * strides[axis] >= size + pads[axis]:
            count -= 1  # it would begin in the padding behind
        more.append(pads[axis + 2] + max(0, (count - 1) * strides[axis] - room))
    return pads[0], pads[1], more[0], more[1]


def taps(
    x: np.ndarray,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    fill: float = 0,
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """((i, j), [N, H', W', C]): what the kernel's element i, j sees of x [N, H, W, C]."""
    top, left, below, right = pads
    x = np.pad(x, ((0, 0), (top, below), (left, right), (0, 0)), constant_values=fill)
    height, width = (
        (size - dilation * (k - 1) - 1) // stride + 1
        for size, k, stride, dilation in zip(x.shape[1:3], kernel, strides, dilations, strict=True)
    )
    for i in range(kernel[0]):
        rows = slice(i * dilations[0], i * dilations[0] + (height - 1) * strides[0] + 1, strides[0])
        for j in range(kernel[1]):
            first = j * dilations[1]
            columns = slice(first, first + (width - 1) * strides[1] + 1, strides[1])
            yield (i, j), x[:, rows, columns]


def _biased(y: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    return y if bias is None else y + bias


def _by_head(x: np.ndarray, heads: int) -> np.ndarray:
    """float32 [N, heads, S, D] of [N, S, heads x D]."""
    n, positions, width = x.shape
    split = x.astype(np.float32, copy=False).reshape(n, positions, heads, width // heads)
    return split.transpose(0, 2, 1, 3)
