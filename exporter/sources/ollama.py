"""Models that Ollama has pulled: GGUF files with sampling defaults beside them.

The template layer is Go's; chats use the Jinja template inside the GGUF file.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.errors import SourceError, UnsupportedModel

from . import Generation
from .files import read_json_object
from .gguf import GgufSource
from .ollama_store import Manifest

# Ours: the Modelfile's.
SAMPLING = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "repetition_penalty": "repeat_penalty",
}


class OllamaSource(GgufSource):
    """A model of a store, by its manifest."""

    def __init__(self, path: Path) -> None:
        manifest = Manifest(path)
        model = manifest.blob("model")
        if model is None or "adapter" in manifest.kinds:
            raise UnsupportedModel(
                f"{path}: edge reads a model in one GGUF file; this one is made of "
                f"{', '.join(manifest.kinds) or 'nothing'}"
            )
        super().__init__(model)
        self.name = manifest.name
        parameters = manifest.blob("params")
        if parameters is not None:
            self.generation = _with(self.generation, read_json_object(parameters))

    def digest(self) -> str:
        """The file's, which is its name.  Raises SourceError if it is not."""
        found = super().digest()
        if self.path.name != f"sha256-{found}":
            raise SourceError(f"{self.path}: the SHA-256 is {found}: pull the model again")
        return found


def _with(generation: Generation, parameters: dict[str, Any]) -> Generation:
    """The Modelfile's parameters go before those in the GGUF file."""
    given = {ours: parameters.get(theirs) for ours, theirs in SAMPLING.items()}
    return replace(generation, **{k: v for k, v in given.items() if type(v) in (int, float)})
