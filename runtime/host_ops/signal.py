"""Signals: Fourier transforms, windows, the mel scale.  The last axis is real, imaginary."""

import numpy as np

from .registry import op
from .types import held


def _complex(x: np.ndarray) -> np.ndarray:
    return x[..., 0] if x.shape[-1] == 1 else x[..., 0] + 1j * x[..., 1]


def _parts(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.stack([x.real, x.imag], axis=-1).astype(dtype)


@op("DFT", shaped_by=(1, 2))
def dft(
    x: np.ndarray,
    dft_length: np.ndarray | None = None,
    axis: np.ndarray | None = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> np.ndarray:
    """[..., 1 or 2] to [..., 2]; an inverse of one side gives real numbers [..., 1]."""
    along = (-2 if axis is None else int(axis.item())) % x.ndim
    there = x.shape[along]
    default = 2 * (there - 1) if inverse and onesided else there
    length = default if dft_length is None else int(dft_length.item())
    if inverse and onesided:
        return np.fft.irfft(_complex(x), length, along)[..., None].astype(x.dtype)
    if inverse:
        return _parts(np.fft.ifft(_complex(x), length, along), x.dtype)
    y = np.fft.fft(_complex(x), length, along)
    return _parts(np.take(y, np.arange(length // 2 + 1), along) if onesided else y, x.dtype)


@op("STFT", shaped_by=(1, 3))
def stft(
    signal: np.ndarray,
    frame_step: np.ndarray,
    window: np.ndarray | None = None,
    frame_length: np.ndarray | None = None,
    *,
    onesided: int = 1,
) -> np.ndarray:
    """[batch, frames, frequencies, 2] of [batch, samples, 1 or 2], or as ONNX Runtime takes it, too,
    of [batch, samples]."""
    step = int(frame_step.item())
    if frame_length is not None:
        length = int(frame_length.item())
    else:
        length = signal.shape[1] if window is None else len(window)
    samples = signal if signal.ndim == 2 else _complex(signal)
    frames = np.lib.stride_tricks.sliding_window_view(samples, length, axis=1)[:, ::step]
    y = np.fft.fft(frames if window is None else frames * window)
    return _parts(y[..., : length // 2 + 1] if onesided else y, signal.dtype)


def _angles(size: np.ndarray, periodic: int) -> np.ndarray:
    """Once round the circle, float64 [size]."""
    count = int(size.item())
    return np.arange(count) * (2 * np.pi / (count if periodic else count - 1))


@op("HannWindow", shaped_by=(0,))
def hann_window(
    size: np.ndarray, *, output_datatype: str = "float32", periodic: int = 1
) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(_angles(size, periodic))).astype(held(output_datatype))


@op("HammingWindow", shaped_by=(0,))
def hamming_window(
    size: np.ndarray, *, output_datatype: str = "float32", periodic: int = 1
) -> np.ndarray:
    wave = np.cos(_angles(size, periodic))
    return (25 / 46 - 21 / 46 * wave).astype(held(output_datatype))


@op("BlackmanWindow", shaped_by=(0,))
def blackman_window(
    size: np.ndarray, *, output_datatype: str = "float32", periodic: int = 1
) -> np.ndarray:
    angles = _angles(size, periodic)
    window = 0.42 - 0.5 * np.cos(angles) + 0.08 * np.cos(2 * angles)
    return window.astype(held(output_datatype))


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


@op("MelWeightMatrix", shaped_by=(0, 1))
def mel_weight_matrix(
    bins: np.ndarray,
    dft_length: np.ndarray,
    sample_rate: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    output_datatype: str = "float32",
) -> np.ndarray:
    """[dft_length / 2 + 1, bins]: a triangle for each bin, from the middle of one to the next."""
    count, length = int(bins.item()), int(dft_length.item())
    lowest, highest = _mel(float(lower.item())), _mel(float(upper.item()))
    mels = np.arange(count + 2) * ((highest - lowest) / (count + 2)) + lowest
    hertz = 700 * (10 ** (mels / 2595) - 1)
    rate = max(1, int(sample_rate.item()))
    edges = np.floor((length + 1) * hertz / rate).astype(np.int64)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    k = np.arange(length // 2 + 1)[:, None]
    rising = np.where(middle > left, (k - left) / np.maximum(middle - left, 1), k == middle)
    falling = (right - k) / np.maximum(right - middle, 1)
    shares = np.where(k <= middle, rising, falling)
    shares = np.where((k == middle) & (right > middle), falling, shares)
    inside = (k >= left) & ((k < right) | (k == middle))
    return np.where(inside, shares, 0).astype(held(output_datatype))
