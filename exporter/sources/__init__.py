"""Source models: what a checkpoint holds, read one tensor at a time.

Whatever the container, a source speaks Hugging Face: `config` has the keys of the family's
`config.json`, and tensors have the names of its safetensors checkpoint.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edge.errors import SourceError
from edge.format.formats import QuantizedTensor


@dataclass(frozen=True)
class TokenizerFiles:
    """What the packed file keeps of a tokenizer.

    json           a `tokenizers` tokenizer.json document
    chat_template  Jinja source, or None
    bos, eos       token ids: the one that starts a text (None: none), those that end an answer
    add_bos        whether encoding a text puts `bos` first
    before, after  ids that the tokenizer itself puts around a text, for an encoder
    """

    json: bytes
    chat_template: str | None
    bos: int | None
    eos: tuple[int, ...]
    add_bos: bool
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


@dataclass(frozen=True)
class Generation:
    """Sampling defaults the model's authors recommend (generation_config.json); None = unsaid."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None


class Source(Protocol):
    name: str  # file or folder name, for people
    config: dict[str, Any]  # keys as in Hugging Face's config.json, with "model_type"
    generation: Generation
    norms_are_folded: bool  # Gemma: True where the file already stores 1 + weight
    grids_are_exact: bool  # whether `kept` loses nothing; False: also where float16 rounds a scale
    reorders: bool  # whether what is `kept` may have its columns in another order

    def digest(self) -> str:
        """SHA-256 of the source, hexadecimal."""

    def names(self) -> Iterable[str]:
        """Tensor names, as in a Hugging Face checkpoint of the family."""

    def shape(self, name: str) -> tuple[int, ...]: ...

    def stored_type(self, name: str) -> str:
        """What it is in the source: "BF16", "Q4_0", "gptq"; from its header."""

    def read(self, name: str) -> np.ndarray:
        """The tensor as float32, dequantized where it was quantized."""

    def kept(self, name: str) -> QuantizedTensor | None:
        """The tensor on its own grid, with its own codes, if edge stores that grid, else None."""

    def tokenizer(self) -> TokenizerFiles | None: ...


def open_source(path: str | Path) -> Source:
    """Open a GGUF file, a Hugging Face folder, a llama2.c checkpoint or a model of Ollama's store:
    "ollama:NAME[:TAG]", a manifest, or a store that has one model.

    Raises SourceError when the path is none of these or is broken.
    """
    manifest = _manifest(path)
    if manifest is not None:
        from .ollama import OllamaSource

        return OllamaSource(manifest)
    path = Path(path)
    if path.is_dir():
        from .huggingface import HuggingFaceSource

        return HuggingFaceSource(path)
    if not path.is_file():
        raise SourceError(f"no such file or folder: {path}")
    if path.suffix == ".gguf" or _begins_as_gguf(path):
        from .gguf import GgufSource

        return GgufSource(path)
    if path.suffix == ".bin":
        from .llama2c import Llama2cSource

        return Llama2cSource(path)
    if path.suffix.lower() == ".onnx":
        raise SourceError(
            f"{path}: a graph, not a language model; edge export reads it, and no more"
        )
    raise SourceError(
        f"{path}: not a model edge can read; expected a .gguf file, a folder with config.json and "
        "*.safetensors, or ollama:NAME"
    )


def _manifest(path: str | Path) -> Path | None:
    """The manifest of a model in Ollama's store; None for another kind of path."""
    from . import ollama_store as store

    if isinstance(path, str) and path.startswith(store.PREFIX):
        return store.find(path.removeprefix(store.PREFIX))
    path = Path(path)
    if store.is_store(path):
        return store.only_model(path)
    return path if store.is_manifest(path) and path.is_file() else None


def _begins_as_gguf(path: Path) -> bool:
    """A GGUF file by another name, as in stores that name files by their hash."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
