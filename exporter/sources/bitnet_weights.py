"""BitNet's ternary weights in Hugging Face checkpoints, packed or still in full precision.

Packed (transformers/integrations/bitnet.py): uint8 [rows / 4, columns] whose bits 2i and 2i + 1
hold row i * rows / 4 + r of the matrix as 0, 1, 2 for -1, 0, 1, beside `weight_scale`. Layers of
class AutoBitLinear multiply by that scale, BitLinear divides by it. "Online" checkpoints hold
the training weights, which every forward pass rounds to -1, 0, 1 times their mean magnitude.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edge.errors import SourceError, UnsupportedModel
from edge.format.formats import QuantizedTensor, WeightFormat

from .packed_matrix import FLOATS, Encoding, PackedMatrix, Parts, modules
from .shards import Shards

LINEAR_CLASSES = ("autobitlinear", "bitlinear")
MODES = ("offline", "online")
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class BitNetWeights:
    """What a checkpoint's quantization_config says about its linear layers."""

    def __init__(self, settings: dict[str, Any], where: str) -> None:
        self.linear_class = settings.get("linear_class", "bitlinear")
        self.mode = settings.get("quantization_mode", "offline")
        excluded = settings.get("modules_to_not_convert") or []
        if self.linear_class not in LINEAR_CLASSES or self.mode not in MODES:
            raise UnsupportedModel(
                f"{where}: BitNet layers {self.linear_class!r:.40}, {self.mode!r:.40}; edge reads "
                f"{', '.join(LINEAR_CLASSES)}; {', '.join(MODES)}"
            )
        if settings.get("use_rms_norm"):
            raise UnsupportedModel(f"{where}: BitNet layers with a norm of their own")
        if not isinstance(excluded, list):
            raise SourceError(f"{where}: modules_to_not_convert is no list: {excluded!r:.60}")
        self.excluded = tuple(str(part) for part in excluded)

    def is_rounded_online(self, name: str) -> bool:
        """Whether the forward pass makes this training weight ternary."""
        parts = name.split(".")
        linear = len(parts) > 1 and parts[-1] == "weight" and parts[-2] in LAYERS
        return self.mode == "online" and linear and not any(e in name for e in self.excluded)

    def unpacked(self, parts: Parts) -> QuantizedTensor:
        packed = parts.stored("weight")
        codes = np.concatenate([packed >> 2 * i & 3 for i in range(4)])
        if codes.max() > 2:
            raise parts.error("weight", "holds the 2-bit code 3, which has no meaning")
        stated = np.float32(parts.read("weight_scale").reshape(-1)[0])
        scale = stated
        if self.linear_class == "bitlinear":
            scale = np.float32(1) / stated if stated else np.float32("inf")
        if not np.isfinite(scale):
            raise parts.error("weight_scale", f"the scale is not usable: {stated}")
        return _ternary(codes, scale)

    def rounded(self, parts: Parts) -> QuantizedTensor:
        """What the forward pass makes of training weights, in their own precision."""
        weights = parts.read("weight")
        factor = np.float32(1) / np.maximum(np.abs(weights).mean(), np.float32(1e-5))
        codes = np.clip(np.round(weights * factor), -1, 1) + 1
        scale = np.float32(1) / factor
        in_bfloat16 = parts.dtype("weight") == "BF16"
        return _ternary(codes.astype(np.uint8), _bfloat16(scale) if in_bfloat16 else scale)


def _find(settings: dict[str, Any], tensors: Shards) -> dict[str, PackedMatrix]:
    layers = BitNetWeights(settings, str(tensors.folder))
    found: dict[str, PackedMatrix] = {}
    for parts in modules(tensors, "weight", (), ("weight_scale",)):
        name = f"{parts.module}.weight"
        if "weight_scale" in parts and parts.dtype("weight") == "U8":
            rows, columns = parts.matrix_shape("weight", ("U8",))
            scales = parts.dtype("weight_scale"), math.prod(parts.shape("weight_scale"))
            if scales not in [(float_, 1) for float_ in FLOATS]:
                raise parts.error("weight_scale", f"{scales[1]} {scales[0]}, expected one scale")
            decode = partial(layers.unpacked, parts)
            found[name] = TernaryMatrix(parts.all, (4 * rows, columns), decode)
        elif layers.is_rounded_online(name):
            shape = parts.matrix_shape("weight", FLOATS)
            found[name] = TernaryMatrix((name,), shape, partial(layers.rounded, parts))
    return found


BITNET = Encoding(_find, partners=("weight_scale",))


@dataclass(frozen=True)
class TernaryMatrix:
    """A matrix that is stored or computed with as -1, 0, 1 times a scale."""

    parts: tuple[str, ...]
    shape: tuple[int, int]
    kept: Callable[[], QuantizedTensor]

    def read(self) -> np.ndarray:
        return self.kept().dequantize()


def _ternary(codes: np.ndarray, scale: np.float32) -> QuantizedTensor:
    scales = np.full((len(codes), 1), scale, np.float32)
    return QuantizedTensor(WeightFormat("ternary"), codes, scales)


def _bfloat16(value: np.float32) -> np.float32:
    """The nearest bfloat16, ties to even."""
    bits = int(np.float32(value).view(np.uint32))
    rounded = np.uint32(bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000)
    return rounded.view(np.float32)
