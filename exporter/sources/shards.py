"""The weights of a model folder: one safetensors file, or several with or without an index."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import SourceError

from .files import read_json_object
from .safetensors_file import SafetensorsFile, StoredTensor

INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class Shards:
    """All stored tensors of a folder, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = _weight_files(folder)
        self._file_of = _tensors_of(self.files)

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def entry(self, name: str) -> StoredTensor:
        """Type and shape as the header has them."""
        return self._file(name).tensors[name]

    def stored(self, name: str) -> np.ndarray:
        """The tensor as it is stored, read-only and not copied."""
        return self._file(name).stored(name)

    def read(self, name: str) -> np.ndarray:
        """float32, a copy."""
        return self._file(name).read(name)

    def where(self, name: str) -> str:
        """File and tensor, for errors."""
        return f"{self._file(name).path}: tensor {name!r:.200}"

    def _file(self, name: str) -> SafetensorsFile:
        try:
            return self._file_of[name]
        except KeyError:
            raise SourceError(f"{self.folder}: no tensor {name!r:.200}") from None


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
