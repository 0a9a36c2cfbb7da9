"""The models of graphs.py: where each comes from, what goes in, and ONNX Runtime's int8 form of it."""

import pydoc_data.topics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Feeds = dict[str, np.ndarray]
sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / "models")]


@dataclass(frozen=True)
class Case:
    """One model at one size of input.

    package  of fetch_model.py, as it is called in the folder; `file` within it, or `build` an ONNX
             model of it
    inputs   several feeds, of which speed is measured on the first
    int8     how ONNX Runtime quantizes it: "static" (by `calibration`), "dynamic", or "" if it is
             only compared with its float form
    recipe   edge's; one that is calibrated reads `calibration`, which are none of the inputs
    """

    name: str
    package: str
    inputs: Callable[[Path], list[Feeds]]
    file: str = ""
    build: str = ""
    int8: str = ""
    recipe: str = "int8"
    calibration: Callable[[Path], list[Feeds]] | None = None


def crops(folder: Path, count: int = 256, seed: int = 0) -> list[Feeds]:
    """Pieces of photographs, as EfficientNet-Lite0 wants them."""
    from PIL import Image

    random, found = np.random.default_rng(seed), []
    pictures = [Image.open(folder / "pictures" / name).convert("RGB") for name in PHOTOGRAPHS]
    for i in range(count):
        picture = pictures[i % len(pictures)]
        side = int(min(picture.size) * random.uniform(0.7, 1))
        left, top = (int(random.uniform(0, size - side)) for size in picture.size)
        piece = picture.crop((left, top, left + side, top + side)).resize((224, 224))
        pixels = (np.asarray(piece, np.float32) - 127) / 128
        found.append({"input": pixels.transpose(2, 0, 1)[None]})
    return found


PHOTOGRAPHS = ("chelsea.png", "coffee.png", "rocket.jpg")


def sentences(folder: Path) -> list[Feeds]:
    """Of Python's own documentation."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "minilm" / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(128)
    topics = pydoc_data.topics.topics
    lines = [line.strip() for key in sorted(topics) for line in topics[key].splitlines()]
    lines = [line for line in lines if 40 < len(line)][:2000:10]
    return [_ids(tokenizer.encode(line).ids) for line in lines]


def of_tokens(count: int) -> Callable[[Path], list[Feeds]]:
    return lambda folder: [_ids([i * 7919 % 30000 for i in range(count)]), *sentences(folder)]


def _ids(ids: list[int]) -> Feeds:
    listed = np.array([ids], np.int64)
    return {"input_ids": listed, "attention_mask": np.ones_like(listed)}


def page(folder: Path) -> list[Feeds]:
    """A page of a book, as PP-OCR's detector wants it."""
    from PIL import Image

    image = Image.open(folder / "pictures" / "page.png").convert("RGB").crop((0, 0, 384, 160))
    means, deviations = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = (np.asarray(image) / 255 - means) / deviations
    return [{"x": pixels.transpose(2, 0, 1)[None].astype(np.float32)}]


def line(folder: Path) -> list[Feeds]:
    """A piece of it, as high as the recogniser wants it."""
    from PIL import Image

    image = Image.open(folder / "pictures" / "page.png").convert("RGB").crop((0, 20, 320, 68))
    return [{"x": ((np.asarray(image, np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None]}]


def upright(folder: Path) -> list[Feeds]:
    return [{"x": np.ascontiguousarray(line(folder)[0]["x"][..., :192])}]


def sound(folder: Path) -> list[Feeds]:
    tone = np.sin(2 * np.pi * 220 * np.arange(576) / 16000).astype(np.float32)
    state = np.zeros((2, 1, 128), np.float32)
    return [{"input": 0.1 * tone[None], "state": state, "sr": np.array(16000)}]


def chord(folder: Path) -> list[Feeds]:
    """Two seconds of three notes."""
    at = np.arange(43844) / 22050
    notes = sum(np.sin(2 * np.pi * pitch * at) for pitch in (220, 277.18, 329.63))
    return [{"serving_default_input_2:0": (0.2 * notes).astype(np.float32)[None, :, None]}]


def whole_page(folder: Path) -> list[Feeds]:
    """The page, as large as a detector of its parts wants it."""
    from PIL import Image

    image = Image.open(folder / "pictures" / "page.png").convert("RGB").resize((608, 800))
    means, deviations = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = (np.asarray(image) / 255 - means) / deviations
    return [{"image": pixels.transpose(2, 0, 1)[None].astype(np.float32)}]


def bytes_of_a_file(folder: Path) -> list[Feeds]:
    content = Path(__file__).read_bytes()
    return [{"bytes": np.array([[*content[:1024], *content[-1024:]]], np.int32)}]


def _cases() -> Iterator[Case]:
    yield Case(
        "EfficientNet-Lite0", "efficientnet_lite0", crops, build="efficientnet_lite0", int8="static",
        recipe="int8-calibrated", calibration=lambda folder: crops(folder, 60, seed=1),
    )  # fmt: skip
    for tokens in (32, 128):
        yield Case(
            f"MiniLM, {tokens} tokens",
            "minilm",
            of_tokens(tokens),
            build="bert_onnx",
            int8="dynamic",
        )
    yield Case("PP-OCRv4 det", "ppocr", page, file="ch_PP-OCRv4_det_infer.onnx")
    yield Case("PP-OCRv4 rec", "ppocr", line, file="ch_PP-OCRv4_rec_infer.onnx")
    yield Case("PP-OCR cls", "ppocr", upright, file="ch_ppocr_mobile_v2.0_cls_infer.onnx")
    yield Case("Silero VAD", "silero_vad.onnx", sound)
    yield Case("magika", "magika", bytes_of_a_file, file="model.onnx")
    yield Case("PicoDet, page layout", "layout.onnx", whole_page)
    yield Case("Basic Pitch, notes", "basic_pitch.onnx", chord)


CASES = tuple(_cases())
