"""Ollama's store of models: manifests by name, and files named by their hash.

    manifests/HOST/NAMESPACE/MODEL/TAG   JSON: layers with a media type, a digest and a size
    blobs/sha256-HEX                     their contents; a model's is a GGUF file

Source: ollama, types/model/name.go and docs/faq (where models are stored).
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from edge.errors import SourceError

from .files import read_json_object

PREFIX = "ollama:"
HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"
PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
NAME = re.compile(
    rf"(((?P<host>{PART}(:[0-9]{{1,5}})?)/)?(?P<namespace>{PART})/)?(?P<model>{PART})"
    rf"(:(?P<tag>{PART}))?"
)
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
KIND = "application/vnd.ollama.image."  # of a layer: and model, params, template, adapter, ...
SHARED_STORE = "/usr/share/ollama/.ollama/models"  # of the service that Linux's installer sets up


class Manifest:
    """One model: what it is made of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        layers = read_json_object(path).get("layers")
        if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
            raise SourceError(f"{path}: not a manifest of Ollama: no list of layers")
        self._layers = layers

    @property
    def name(self) -> str:
        return ":".join(self.path.parts[-2:])

    @property
    def kinds(self) -> list[str]:
        return sorted({str(layer.get("mediaType")).removeprefix(KIND) for layer in self._layers})

    def blob(self, kind: str) -> Path | None:
        """The file of a layer, its size checked; None if there is no such layer."""
        layer = next((x for x in self._layers if x.get("mediaType") == KIND + kind), None)
        if layer is None:
            return None
        match = DIGEST.fullmatch(str(layer.get("digest")))
        if match is None:
            raise SourceError(f"{self.path}: no SHA-256: {layer.get('digest')!r:.80}")
        blob = self.path.parents[4] / "blobs" / f"sha256-{match[1]}"
        if not blob.is_file():
            raise SourceError(f"{blob} is missing, which {self.path} needs: pull the model again")
        if blob.stat().st_size != layer.get("size"):
            raise SourceError(
                f"{blob}: {blob.stat().st_size} bytes, expected {layer.get('size')!r:.40}: pull "
                "the model again"
            )
        return blob


def is_manifest(path: Path) -> bool:
    """Whether a file lies where a store has its manifests."""
    return len(path.parts) >= 5 and path.parts[-5] == "manifests"


def is_store(path: Path) -> bool:
    return (path / "manifests").is_dir() and (path / "blobs").is_dir()


def find(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The manifest of [[HOST/]NAMESPACE/]MODEL[:TAG] in the stores of this machine, or of a store
    that is named instead and has one model.

    Raises SourceError that lists what there is.
    """
    if is_store(Path(name)):
        return only_model(Path(name))
    parts = _parts(name)
    found = []
    for store in _stores(environment):
        manifest = store.joinpath("manifests", *parts)
        if manifest.is_file():
            return manifest
        found += [_shown(path) for path in _manifests(store)]
    raise SourceError(f"Ollama has no model {name!r:.120} here; {_choices(found)}")


def only_model(store: Path) -> Path:
    """The manifest of a store's one model.  Raises SourceError if there are others, or none."""
    manifests = _manifests(store)
    if len(manifests) != 1:
        choices = _choices([_shown(path) for path in manifests])
        raise SourceError(f"{store}: expected one model; {choices}, or name its manifest")
    return manifests[0]


def _choices(names: list[str]) -> str:
    shown = [f"{PREFIX}{name}" for name in names[:20]]
    return f"choose from {', '.join(shown)}" if shown else "pull it first (ollama pull)"


def _parts(name: str) -> tuple[str, ...]:
    """(host, namespace, model, tag)."""
    match = NAME.fullmatch(name)
    if match is None or ".." in name:
        raise SourceError(
            f"Ollama: {name!r:.120} is no name of a model, [[HOST/]NAMESPACE/]MODEL[:TAG]"
        )
    given = match.groupdict()
    return (
        given["host"] or HOST,
        given["namespace"] or NAMESPACE,
        given["model"],
        given["tag"] or TAG,
    )


def _stores(environment: Mapping[str, str]) -> list[Path]:
    """$OLLAMA_MODELS alone if it is set, else the user's and the service's."""
    if environment.get("OLLAMA_MODELS"):
        return [Path(environment["OLLAMA_MODELS"])]
    home = environment.get("HOME") or environment.get("USERPROFILE") or "~"
    return [Path(home).expanduser() / ".ollama" / "models", Path(SHARED_STORE)]


def _manifests(store: Path) -> list[Path]:
    return sorted(p for p in store.glob("manifests/*/*/*/*") if p.is_file())


def _shown(manifest: Path) -> str:
    """The shortest name that finds it."""
    host, namespace, model, tag = manifest.parts[-4:]
    prefix = "" if (host, namespace) == (HOST, NAMESPACE) else f"{namespace}/"
    return (prefix if host == HOST else f"{host}/{namespace}/") + f"{model}:{tag}"
