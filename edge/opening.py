"""An .edge file opened as the kind of model it is, or as the kind that is wanted."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from edge.errors import FormatError, UnsupportedModel
from edge.format.reader import EdgeFile

_LOADERS = {  # by the file's kind
    "decoder": "edge.session",
    "encoder": "edge.embedder",
    "graph": "edge.graph_session",
}
_INSTEAD = {
    "decoder": "it writes text: edge run {path} PROMPT, or generate() and chat() in Python",
    "encoder": "it makes vectors of texts: edge embed {path} TEXT, or embed() in Python",
    "graph": "it maps arrays to arrays: edge run {path} --input NAME=FILE.npy --output DIR, "
    "or run() in Python",
}


def load(path: str | Path, **settings: Any) -> Any:
    """Open an .edge file: a Session for a language model, an Embedder for a sentence encoder,
    a GraphSession for any other graph of operators.

    threads    defaults to the cores this process may use
    targets    limits of temperature, power and battery; see edge.devices.policy
    note       hears what the governor does, and why
    compiling  hears how many kernels are compiled, of how many, when this machine sees them first
    context, kv  of a language model: tokens of prompt and answer together (its own, at most 4096,
               if not given); kind of KV cache (float16, unless the model is float32), int8, int4

    Raises FormatError, UnsupportedModel, DoesNotFit, DeviceError, OSError.
    """
    loader = import_module(_LOADERS[opened(path).document["kind"]])
    return loader.load(path, **settings)


def opened(path: str | Path) -> EdgeFile:
    """The file, whatever kind of model it is.  Raises FormatError."""
    path = Path(path)
    if path.is_dir() or path.suffix.lower() in (".gguf", ".safetensors", ".onnx"):
        raise FormatError(
            f"{path}: a source model, not an .edge file; "
            f"pack it first: edge export {path} -o {path.stem}.edge"
        )
    return EdgeFile(path)


def open_as(path: str | Path, kind: str) -> EdgeFile:
    """The file, if it is of this kind.  Raises UnsupportedModel, which says what to do instead."""
    file = opened(path)
    found = file.document["kind"]
    if found != kind:
        instead = _INSTEAD[found].format(path=path)
        raise UnsupportedModel(f"{path}: a model of kind {found!r}, expected {kind!r}; {instead}")
    return file
