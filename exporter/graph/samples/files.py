"""Samples in files: .npz, .npy, and images as a model wants them."""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import RecipeError
from edge.format.graph import Value

ARRAYS, PICTURES = (".npz", ".npy"), (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".gif")
CROP = 0.875  # of the shorter side, in the middle: what most classifiers are evaluated with


@dataclass(frozen=True)
class Images:
    """A folder (or a file), and what is done to pixels of 0 .. 255: (pixel - mean) / std.

    mean, std  a number, or one for each of red, green and blue; None: of images there are none, or
               the model takes uint8
    """

    path: str | Path
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None


def of_path(images: Images, inputs: Sequence[Value]) -> Iterator[tuple[str, Any]]:
    """(name for errors, what is in the file), files in the order of their names."""
    path = Path(images.path)
    files = sorted(p for p in path.iterdir() if _is_ours(p)) if path.is_dir() else [path]
    if not path.exists():
        raise RecipeError(f"{path}: there is no such file or folder to calibrate with")
    for file in files:
        if not _is_ours(file):
            raise RecipeError(f"{file}: expected .npz, .npy or an image")
        yield str(file), _read(file, images, inputs)


def _is_ours(path: Path) -> bool:
    return path.suffix.lower() in (*ARRAYS, *PICTURES)


def _read(file: Path, images: Images, inputs: Sequence[Value]) -> Any:
    if file.suffix.lower() in PICTURES:
        return picture(file, images, inputs)
    try:
        found = np.load(file, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else dict(found)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise RecipeError(f"{file}: no array that can be read: {error}") from None


def picture(file: Path, images: Images, inputs: Sequence[Value]) -> np.ndarray:
    """As the model's one input has it: the middle of the image, NCHW or NHWC by its shape."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise RecipeError(f"{file}: reading images takes Pillow: pip install pillow") from None
    height, width, last = _layout(file, inputs)
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise RecipeError(f"{file}: no image that can be read: {error}") from None
    box = _middle(image.size, width / height)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box))
    made = _normalized(file, pixels, images, inputs[0])
    return made[None] if last else made.transpose(2, 0, 1)[None]


def _layout(file: Path, inputs: Sequence[Value]) -> tuple[int, int, bool]:
    """Height, width, whether channels are last."""
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape is not None and len(shape) == 4:
        for at, last in (((2, 3, 1), False), ((1, 2, 3), True)):
            height, width, channels = (shape[i] for i in at)
            if channels == 3 and isinstance(height, int) and isinstance(width, int):
                return height, width, last
    raise RecipeError(
        f"{file}: images are for a model with one input [N, 3, H, W] or [N, H, W, 3] of known size; "
        "give .npz"
    )


def _middle(size: tuple[int, int], ratio: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the largest such rectangle, less what CROP takes off."""
    width, height = size
    crop_width = CROP * min(width, height * ratio)
    crop_height = crop_width / ratio
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    return left, top, left + crop_width, top + crop_height


def _normalized(file: Path, pixels: np.ndarray, images: Images, value: Value) -> np.ndarray:
    if value.dtype == "uint8" and images.mean is None and images.std is None:
        return pixels
    if images.mean is None or images.std is None:
        raise RecipeError(
            f"{file}: of images the model's own mean and std of pixels 0 .. 255 must be known "
            "(--image-mean 0 --image-std 255 gives 0 .. 1)"
        )
    mean, std = (np.asarray(part, np.float32) for part in (images.mean, images.std))
    if any(part.size not in (1, 3) or not np.isfinite(part).all() for part in (mean, std)):
        raise RecipeError("mean and std of images: a number, or three of red, green and blue")
    if (std == 0).any():
        raise RecipeError("std of images must not be 0")
    made: np.ndarray = (pixels.astype(np.float32) - mean) / std
    return made
