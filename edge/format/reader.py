"""Read an .edge file: one read-only mapping, validated once, never copied."""

import hashlib
import json
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from edge.errors import FormatError

from . import config, spec
from .formats import ALIGNMENT


class EdgeFile:
    """A mapped model.  Construction validates the header; it reads no tensor.

    Raises FormatError (what, where, expected, found), OSError if the file cannot be opened.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        with open(self.path, "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            header = _Header(str(path), _read_header(file, str(path), self.size), self.size)
            self.tensors = header.tensors
            self.document = header.document
            self.config = header.config
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._base: int = self._bytes.ctypes.data

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def info(self, name: str) -> spec.TensorInfo:
        """Raises FormatError if the file lacks the tensor."""
        try:
            return self.tensors[name]
        except KeyError:
            raise FormatError(f"{self.path}: the model needs tensor {name!r}; not found") from None

    def address(self, name: str) -> int:
        """Where the tensor's bytes are in memory, 64-byte aligned; valid while self lives."""
        return self._base + self.info(name).offset

    def view(self, name: str) -> np.ndarray:
        """uint8 [nbytes], read-only, in place."""
        info = self.info(name)
        return self._bytes[info.offset : info.offset + info.nbytes]

    def read_bytes(self, name: str) -> bytes:
        """The content of a tensor of bytes, without padding."""
        info = self.info(name)
        if info.format != "bytes":
            raise FormatError(f"{self.path}: tensor {name!r} is {info.format}, expected bytes")
        return self.view(name)[: info.shape[0]].tobytes()

    def verify(self, progress: Callable[[int], None] = lambda done: None) -> list[str]:
        """Names of tensors whose bytes do not match their checksum; `progress` gets bytes done."""
        broken, done = [], 0
        for info in self.tensors.values():
            digest, view = hashlib.sha256(), self.view(info.name)
            for start in range(0, info.nbytes, 2**24):
                digest.update(view[start : start + 2**24])
                progress(done + min(start + 2**24, info.nbytes))
            done += info.nbytes
            if digest.hexdigest() != info.sha256:
                broken.append(info.name)
        return broken


def _read_header(file: Any, where: str, size: int) -> bytes:
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or size < 8 + length or not 2 <= length:
        raise FormatError(
            f"{where}: not an .edge file: {size} bytes, header said to be {length}; "
            "it is something else or was cut off"
        )
    if length > spec.MAX_HEADER:
        raise FormatError(f"{where}: header of {length} bytes, expected at most {spec.MAX_HEADER}")
    if (8 + length) % ALIGNMENT:
        raise FormatError(
            f"{where}: data starts at byte {8 + length}, expected a multiple of {ALIGNMENT}; "
            "a plain safetensors file is a source for `edge export`"
        )
    header: bytes = file.read(length)
    return header


class _Header:
    """The header's checks, in order; afterwards offsets and sizes are trusted."""

    def __init__(self, where: str, raw: bytes, size: int):
        self.where = where
        self.data_start = 8 + len(raw)
        self.data_size = size - self.data_start
        entries = self._object(_parse(raw.decode("utf-8", "replace"), where, "header"), "header")
        metadata = self._object(entries.pop("__metadata__", None), "__metadata__")
        if not isinstance(metadata.get("edge"), str):
            self._fail("no edge document in __metadata__; a plain safetensors file?")
        parsed = _parse(metadata["edge"], where, "edge document")
        self.document = self._object(parsed, "edge document")
        self._check_document()
        self.tensors = self._check_tensors(entries)
        self.config = config.from_json(self.document["config"], where)

    def _fail(self, message: str) -> NoReturn:
        raise FormatError(f"{self.where}: {message}")

    def _object(self, value: Any, what: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._fail(f"{what}: expected a JSON object, found {type(value).__name__}")
        return value

    def _check_document(self) -> None:
        document = self.document
        for key, expected in (("version", spec.FORMAT_VERSION), ("layout", spec.LAYOUT_VERSION)):
            if document.get(key) != expected:
                self._fail(
                    f"{key} {document.get(key)!r}, this edge reads {expected}; "
                    "export the model again with this version"
                )
        if document.get("kind") not in spec.KINDS:
            self._fail(f"kind {document.get('kind')!r}, expected one of {', '.join(spec.KINDS)}")
        for key, kind in _DOCUMENT_TYPES.items():
            if not isinstance(document.get(key), kind):
                self._fail(f"edge document: {key!r} is missing or of the wrong type")
        self._check_tokenizer(document.get("tokenizer"))

    def _check_tokenizer(self, ids: Any) -> None:
        if ids is None:
            return
        ids = self._object(ids, "tokenizer")
        bos, eos = ids.get("bos"), ids.get("eos")
        listed = [bos] * (bos is not None) + (eos if isinstance(eos, list) else [None])
        if not all(type(i) is int and 0 <= i < spec.MAX_DIMENSION for i in listed):
            self._fail(f"tokenizer: ids {listed!r:.60}, expected integers from 0")

    def _check_tensors(self, entries: dict[str, Any]) -> dict[str, spec.TensorInfo]:
        declared = self.document["tensors"]
        if len(entries) > spec.MAX_TENSORS:
            self._fail(f"{len(entries)} tensors, expected at most {spec.MAX_TENSORS}")
        if declared.keys() != entries.keys():
            odd = sorted(declared.keys() ^ entries.keys())[0]
            self._fail(f"tensor {odd!r:.80} is in only one of header and edge document")
        infos = [self._tensor(name, entries[name], declared[name]) for name in entries]
        infos.sort(key=lambda info: info.offset)
        end = self.data_start
        for info in infos:
            if info.offset != end:
                kind = "overlaps the one before" if info.offset < end else "leaves a hole"
                self._fail(f"tensor {info.name!r} {kind}: at byte {info.offset}, expected {end}")
            end += info.nbytes
        if end != self.data_start + self.data_size:
            self._fail(f"tensors end at byte {end}, the file at {self.data_start + self.data_size}")
        return {info.name: info for info in infos}

    def _tensor(self, name: str, entry: Any, declared: Any) -> spec.TensorInfo:
        if not spec.NAME.fullmatch(name):
            self._fail(f"tensor name {name!r:.80} has characters other than A-Z a-z 0-9 . _ -")
        entry, declared = self._object(entry, name), self._object(declared, name)
        shape, form = declared.get("shape"), declared.get("format")
        if not _is_shape(shape) or not isinstance(form, str):
            self._fail(f"tensor {name!r}: shape {shape!r:.60}, format {form!r:.40} not understood")
        try:
            size = spec.nbytes(form, tuple(shape))
            kind, stored = spec.container(form, tuple(shape))
        except ValueError as error:
            self._fail(f"tensor {name!r}: {error}")
        if entry.get("dtype") != kind or entry.get("shape") != stored:
            found = f"{entry.get('dtype')!r:.20} {entry.get('shape')!r:.60}"
            self._fail(f"tensor {name!r}: expected {kind} {stored} in the header, found {found}")
        offsets = entry.get("data_offsets")
        if not (isinstance(offsets, list) and len(offsets) == 2 and _are_sizes(offsets)):
            self._fail(f"tensor {name!r}: data_offsets {offsets!r:.60} are not two sizes")
        start, end = offsets
        if end - start != size or end > self.data_size or start % ALIGNMENT:
            self._fail(
                f"tensor {name!r}: bytes {start} to {end} of {self.data_size}, "
                f"expected {size} bytes on a multiple of {ALIGNMENT}"
            )
        digest = declared.get("sha256")
        if not (isinstance(digest, str) and len(digest) == 64):
            self._fail(f"tensor {name!r}: sha256 {digest!r:.80} is not 64 hexadecimal digits")
        error = declared.get("error")
        if error is not None and type(error) not in (int, float):
            self._fail(f"tensor {name!r}: error {error!r:.40} is not a number")
        start += self.data_start
        return spec.TensorInfo(name, form, tuple(shape), start, size, digest, error)


_DOCUMENT_TYPES: dict[str, type | tuple[type, ...]] = {
    "config": dict,
    "recipe": str,
    "source": dict,
    "parameters": int,
    "tensors": dict,
    "tokenizer": (dict, type(None)),
    "generation": (dict, type(None)),
}


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and 1 <= len(shape) <= 2 and _are_sizes(shape) and min(shape) > 0


def _are_sizes(values: list[Any]) -> bool:
    return all(type(v) is int and 0 <= v < 2**48 for v in values)


def _parse(text: str, where: str, what: str) -> Any:
    """Strict JSON: no duplicate keys, no NaN or Infinity, no abysmal nesting."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key occurs twice")
        return found

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: {what} is not valid JSON: {error}") from None
