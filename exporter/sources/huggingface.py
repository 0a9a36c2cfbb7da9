"""Hugging Face model folders: config.json, *.safetensors, tokenizer.json."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import SourceError, UnsupportedModel
from edge.format.formats import QuantizedTensor

from . import Generation, TokenizerFiles
from .bitnet_weights import BitNetWeights
from .files import read_json_object, sha256_of_files
from .huggingface_tokenizer import TOKENIZER_FILES, end_token_ids, tokenizer_files
from .safetensors_file import SafetensorsFile
from .sentence_transformers import sentence_files, sentence_settings

INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class HuggingFaceSource:
    """A model folder as published or cached; a tensor is read when it is asked for."""

    norms_are_folded = False

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
        self._bitnet = _quantization(self.config, str(self.folder))
        self._files = _weight_files(self.folder)
        self._file_of = _tensors_of(self._files)

    def digest(self) -> str:
        names = {"config.json", "generation_config.json", *TOKENIZER_FILES}
        beside = [self.folder / name for name in names if (self.folder / name).is_file()]
        beside += sentence_files(self.folder)
        return sha256_of_files([*beside, *(file.path for file in self._files)])

    def names(self) -> Iterable[str]:
        return [name for name in self._file_of if not self._is_scale(name)]

    def shape(self, name: str) -> tuple[int, ...]:
        """The matrix's own shape, also where four rows are packed into one."""
        shape = self._file(name).tensors[name].shape
        return (4 * shape[0], *shape[1:]) if self._is_packed(name) else shape

    def read(self, name: str) -> np.ndarray:
        kept = self.kept(name)
        return self._file(name).read(name) if kept is None else kept.dequantize()

    def kept(self, name: str) -> QuantizedTensor | None:
        file = self._file(name)
        if self._bitnet is None:
            return None
        if self._is_packed(name):
            scale_name = name + "_scale"
            scale = self._file(scale_name).read(scale_name)
            return self._bitnet.unpacked(file.stored(name), scale, f"{file.path}: {name}")
        if self._bitnet.is_rounded_online(name):
            return self._bitnet.rounded(file.read(name), file.tensors[name].dtype == "BF16")
        return None

    def tokenizer(self) -> TokenizerFiles | None:
        ends = [*end_token_ids(self._settings), *end_token_ids(self.config)]
        return tokenizer_files(self.folder, self.config.get("bos_token_id"), ends)

    def _file(self, name: str) -> SafetensorsFile:
        try:
            return self._file_of[name]
        except KeyError:
            raise SourceError(f"{self.folder}: no tensor {name!r}") from None

    def _is_packed(self, name: str) -> bool:
        """A BitNet matrix of four rows a byte, with its scale beside it."""
        packed = self._bitnet is not None and name + "_scale" in self._file_of
        return packed and self._file(name).tensors[name].dtype == "U8"

    def _is_scale(self, name: str) -> bool:
        weight = name.removesuffix("_scale")
        return weight != name and weight in self._file_of and self._is_packed(weight)


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _generation(settings: dict[str, Any]) -> Generation:
    names = ("temperature", "top_k", "top_p", "repetition_penalty")
    given = {name: settings.get(name) for name in names}
    return Generation(**{k: v for k, v in given.items() if type(v) in (int, float)})


def _quantization(config: dict[str, Any], where: str) -> BitNetWeights | None:
    settings = config.get("quantization_config") or config.get("compression_config")
    if settings is None:
        return None
    if not isinstance(settings, dict):
        raise SourceError(f"{where}: quantization_config is not a JSON object")
    method = settings.get("quant_method", "without a name")
    if method != "bitnet":
        raise UnsupportedModel(
            f"{where}: weights quantized by {method!r:.40}; edge quantizes the original model, "
            "or keeps the grid of BitNet and of GGUF files"
        )
    return BitNetWeights(settings, where)


def _weight_files(folder: Path) -> list[SafetensorsFile]:
    if (folder / INDEX).is_file():
        return _indexed_files(folder)
    if (folder / "model.safetensors").is_file():
        return [SafetensorsFile(folder / "model.safetensors")]
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return [SafetensorsFile(path) for path in files]
    if any(next(folder.glob(pattern), None) for pattern in PICKLES):
        raise SourceError(
            f"{folder}: only pickled weights, which can run code; get or save the model as "
            "safetensors (save_pretrained does)"
        )
    raise SourceError(f"{folder}: no *.safetensors files")


def _indexed_files(folder: Path) -> list[SafetensorsFile]:
    """The shards that the index names; each must lie in the folder itself."""
    weight_map = read_json_object(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict):
        raise SourceError(f"{folder / INDEX}: 'weight_map' is not a JSON object")
    shards = {}
    for name, shard in weight_map.items():
        if not _is_plain_name(shard):
            raise SourceError(
                f"{folder / INDEX}: {name!r:.80} lies outside the folder: {shard!r:.80}"
            )
        if shard not in shards:
            shards[shard] = SafetensorsFile(folder / shard)
        if name not in shards[shard].tensors:
            raise SourceError(
                f"{folder / shard}: has no tensor {name!r:.80}, which the index promises"
            )
    return list(shards.values())


def _is_plain_name(shard: Any) -> bool:
    """A file of the folder itself (a link, as in Hugging Face's cache, is the user's doing)."""
    return isinstance(shard, str) and Path(shard).name == shard and shard.endswith(".safetensors")


def _tensors_of(files: list[SafetensorsFile]) -> dict[str, SafetensorsFile]:
    tensors: dict[str, SafetensorsFile] = {}
    for file in files:
        for name in file.tensors:
            if name in tensors:
                raise SourceError(
                    f"{file.path}: tensor {name!r:.80} is also in {tensors[name].path}"
                )
            tensors[name] = file
    return tensors
