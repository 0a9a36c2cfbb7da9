"""The .edge file on one page.

An .edge file is a safetensors file with stricter rules:

    8 bytes    header length, little-endian
    header     JSON, padded with spaces so that the data starts on a 64-byte boundary
    data       tensors back to back; each starts on, and is a multiple of, 64 bytes

`__metadata__` has one key, "edge": a JSON document (a string, as safetensors wants) with

    version      the oldest of FORMAT_VERSIONS that has what is in the file; others are refused
    layout       LAYOUT_VERSION of the weight tiles (edge/format/tiles.py); likewise
    kind         "decoder", "encoder" or "graph"
    config       config.DecoderConfig, encoder_config.EncoderConfig, graph_config.GraphConfig
    recipe       what the weights were quantized with
    source       {"name", "sha256"} of the model it was made from
    calibration  {"name", "sha256"} of the text that the recipe chose by; null or absent if none
    parameters   how many weights the model has
    tokenizer    {"bos", "eos", "add_bos"} or null; an encoder's also has "before" and "after",
                 the ids around a text
    generation   recommended sampling settings, or null
    tensors      {name: {"format", "shape", "sha256", "error"}}, for every tensor of the file; of a
                 matrix of codes also "activation", if it is not as its format has it: "token" (its
                 input's int8 codes have one scale a token), a number, the scale itself, or "float"
                 (its input is not rounded)

A tensor's format is a weight format ("int4-g32-offset": a matrix in tiles), "vector" or "indices"
(float32 or int32, padded with zeros to 16 elements) or "bytes" (padded with zeros to 64).  `shape`
is without padding.  Beside a matrix NAME.weight may lie NAME.in_order (in_order.py) and the vectors
NAME.in_scale and NAME.bias: y = W x' + bias, where x' is x[in_order] times in_scale; what else rides
beside it is in addends.py, and reads x', too.
`tokenizer.json`, `chat_template.jinja` and `chat_pattern.json` (what most templates do, as data:
chat_pattern.py) are tensors of bytes, and so are a graph's `graph.json` and `graph.constants`
(graph_json.py).

JSON is strict: UTF-8, no key twice, numbers of 64 bits, no deep nesting; recipe, source,
calibration and architecture are lines of text, free of control characters.  The limits are below.

Nothing in a file is code, and nothing in it refers to another file.
"""

import math
import re
from dataclasses import dataclass
from functools import cache

from .formats import ALIGNMENT, FLOATS, WeightFormat

FORMAT_VERSIONS = (1, 2, 3)  # 2: `activation`, `in_scale`, addends; 3: `in_order`, "float"
LAYOUT_VERSION = 3
KINDS = ("decoder", "encoder", "graph")
MAX_HEADER = 16 * 2**20
MAX_TENSORS = 65536
MAX_DIMENSION = 2**31
MAX_BYTES = 2**48
MAX_DEPTH = 8  # of JSON
MAX_DIGITS = 18  # of an integer: it fits into 64 bits
MAX_TEXT = 1000  # characters of a name or a recipe
MAX_FORMAT = 40
NAME = re.compile(r"[A-Za-z0-9_.\-]{1,200}")
PAYLOADS = ("vector", "indices", "bytes")


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file: what it is and where its bytes are."""

    name: str
    format: str
    shape: tuple[int, ...]
    offset: int  # from the start of the file
    nbytes: int
    sha256: str
    error: float | None = None  # relative Frobenius error against the source
    activation: str | float | None = None  # "token", "float", or the scale of its input's codes

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@cache
def weight_format(text: str) -> WeightFormat:
    """The weight format of this name, "int4-g32-offset".  Raises ValueError."""
    match = re.fullmatch(r"([a-z0-9]+(?:-dense)?)(?:-g([0-9]{1,4}))?(-offset)?", text)
    if not match:
        raise ValueError(f"no weight format {text!r}")
    form = WeightFormat(match[1], int(match[2] or 0), bool(match[3]))
    if str(form) != text:
        raise ValueError(f"no weight format {text!r}; it is written {str(form)!r}")
    return form


def nbytes(format: str, shape: tuple[int, ...]) -> int:
    """Bytes a tensor takes in a file.  Raises ValueError for a format or rank there is not."""
    if format in ("vector", "indices") and len(shape) == 1:
        return -(-4 * shape[0] // ALIGNMENT) * ALIGNMENT
    if format == "bytes" and len(shape) == 1:
        return -(-shape[0] // ALIGNMENT) * ALIGNMENT
    if format in PAYLOADS or len(shape) != 2:
        raise ValueError(f"a tensor of format {format!r} cannot have shape {list(shape)}")
    return weight_format(format).nbytes(*shape)


def container(format: str, shape: tuple[int, ...]) -> tuple[str, list[int]]:
    """dtype and shape as the safetensors header declares them."""
    size = nbytes(format, shape)
    if format in ("vector", "indices"):
        return "F32" if format == "vector" else "I32", [size // 4]
    if format == "bytes":
        return "U8", [size]
    form = weight_format(format)
    tiles = form.tiles(shape[0])
    if form.is_float:
        width = FLOATS[form.kind].itemsize
        return f"F{8 * width}", [tiles, size // tiles // width]
    return "U8", [tiles, size // tiles]
