"""Hugging Face model folders: config.json, *.safetensors, tokenizer.json."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import SourceError, UnsupportedModel
from edge.format.formats import QuantizedTensor

from . import Generation, TokenizerFiles
from .awq_weights import AWQ
from .bitnet_weights import BITNET
from .bitsandbytes_weights import BITSANDBYTES
from .compressed_tensors_weights import COMPRESSED_TENSORS
from .files import read_json_object, sha256_of_files
from .float8_weights import FLOAT8
from .gptq_weights import GPTQ
from .huggingface_tokenizer import TOKENIZER_FILES, end_token_ids, tokenizer_files
from .packed_matrix import Encoding
from .sentence_transformers import sentence_files, sentence_settings
from .shards import Shards

# The keys are quantization_config's `quant_method`.
ENCODINGS = {
    "awq": AWQ,
    "bitnet": BITNET,
    "bitsandbytes": BITSANDBYTES,
    "compressed-tensors": COMPRESSED_TENSORS,
    "fp8": FLOAT8,
    "gptq": GPTQ,
}
# Where older tools wrote it, of a method each.
SETTINGS_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
PLAIN = Encoding(lambda settings, tensors: {})


class HuggingFaceSource:
    """A model folder as published or cached; a tensor is read when it is asked for."""

    norms_are_folded = False
    grids_are_exact = False  # a zero point may take more bits than the offset it becomes

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = self.folder.resolve().name
        if not (self.folder / "config.json").is_file():
            raise SourceError(f"{self.folder}: not a model folder: config.json is missing")
        self.config = read_json_object(self.folder / "config.json")
        if (sentence := sentence_settings(self.folder)) is not None:
            self.config["sentence"] = sentence
        self._settings = _optional_json(self.folder / "generation_config.json")
        self.generation = _generation(self._settings)
        encoding, quantization = _quantization(self.config, self.folder)
        four = quantization.get("bnb_4bit_quant_type") if quantization.get("load_in_4bit") else None
        self._method = str(four or quantization.get("quant_method", ""))
        self._tensors = Shards(self.folder)
        self._packed = encoding.find(quantization, self._tensors)
        self._plain = encoding.rest(self._tensors, self._packed)
        self.reorders = any(part.endswith("g_idx") for part in self._tensors)

    def digest(self) -> str:
        names = {"config.json", "generation_config.json", *SETTINGS_FILES, *TOKENIZER_FILES}
        beside = [self.folder / name for name in names if (self.folder / name).is_file()]
        beside += sentence_files(self.folder)
        return sha256_of_files([*beside, *(file.path for file in self._tensors.files)])

    def names(self) -> Iterable[str]:
        return [*self._packed, *self._plain]

    def shape(self, name: str) -> tuple[int, ...]:
        if name in self._packed:
            return self._packed[name].shape
        return self._tensors.entry(name).shape

    def stored_type(self, name: str) -> str:
        return self._method if name in self._packed else self._tensors.entry(name).dtype

    def read(self, name: str) -> np.ndarray:
        """float32; NaN and infinities where scales are no numbers: who reads them refuses them."""
        if name not in self._packed:
            return self._tensors.read(name)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._packed[name].read()

    def kept(self, name: str) -> QuantizedTensor | None:
        if name not in self._packed:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            return self._packed[name].kept()

    def tokenizer(self) -> TokenizerFiles | None:
        ends = [*end_token_ids(self._settings), *end_token_ids(self.config)]
        return tokenizer_files(self.folder, self.config.get("bos_token_id"), ends)


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _generation(settings: dict[str, Any]) -> Generation:
    names = ("temperature", "top_k", "top_p", "repetition_penalty")
    given = {name: settings.get(name) for name in names}
    return Generation(**{k: v for k, v in given.items() if type(v) in (int, float)})


def _quantization(config: dict[str, Any], folder: Path) -> tuple[Encoding, dict[str, Any]]:
    """How the weights are stored, and the settings of that."""
    settings = config.get("quantization_config") or config.get("compression_config")
    if settings is None:
        settings = _older_settings(folder)
    if not settings:
        return PLAIN, {}
    if not isinstance(settings, dict):
        raise SourceError(f"{folder}: quantization_config is not a JSON object")
    method = settings.get("quant_method", "without a name")
    if not isinstance(method, str) or method not in ENCODINGS:
        raise UnsupportedModel(
            f"{folder}: weights quantized by {method!r:.40}; edge reads {', '.join(ENCODINGS)}, "
            "GGUF files, and original models, which it quantizes itself"
        )
    return ENCODINGS[method], settings


def _older_settings(folder: Path) -> dict[str, Any]:
    for name, method in SETTINGS_FILES.items():
        if (folder / name).is_file():
            return {"quant_method": method} | read_json_object(folder / name)
    return {}
