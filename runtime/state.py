"""A conversation on disk: the cache and the tokens in it, to go on where it was left.

    magic      8 bytes  "EDGESTAT"
    version    uint32   VERSION
    kv         uint32   index into kv_cache.KINDS
    tokens     uint64   how many
    cache      uint64   bytes
    model      32 bytes SHA-256 of the model's header: what the cache was computed with
    tokens     int32 each
    cache      as KvCache.save gives it
    checksum   32 bytes SHA-256 of all before it

All little-endian.  The cache holds the conversation: whoever can read the file can read that.
"""

import hashlib
import json
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.errors import DoesNotFit, FormatError
from edge.format.reader import EdgeFile

from .generate import Engine
from .kv_cache import KINDS, POSITIONS, CacheShape

MAGIC, VERSION = b"EDGESTAT", 1
_HEADER = struct.Struct("<8sIIQQ32s")
_CHECKSUM_BYTES = 32


def save(path: str | Path, engine: Engine) -> None:
    """Write the engine's cache; an old file is replaced once all is on disk.  Raises OSError."""
    model, tokens = engine.model, engine.cached
    shape = model.cache.shape
    cache = model.cache.save(len(tokens))
    header = _HEADER.pack(
        MAGIC, VERSION, KINDS.index(shape.kind), len(tokens), len(cache), model_digest(model.file)
    )
    content = header + np.array(tokens, "<i4").tobytes() + cache
    _replace(Path(path), content + hashlib.sha256(content).digest())


def load(path: str | Path, engine: Engine) -> None:
    """Put a saved cache back.

    Raises FormatError (a broken file, another model or kind of cache), DoesNotFit (a longer
    conversation than the context), OSError.
    """
    with open(path, "rb") as file:
        state = _parse(file.read(_HEADER.size), os.fstat(file.fileno()).st_size, str(path))
        _check(state, engine, str(path))
        content = file.read()
    body, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if hashlib.sha256(state.header + body).digest() != checksum:
        raise FormatError(f"{path}: the checksum does not match; the file is broken")
    tokens = np.frombuffer(body, "<i4", state.tokens)
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < engine.model.config.vocabulary:
        raise FormatError(f"{path}: token ids outside the model's vocabulary")
    engine.restore([])  # until the cache is whole again
    engine.model.cache.load(body[4 * state.tokens :], state.tokens)
    engine.restore(tokens.tolist())


@dataclass(frozen=True)
class _State:
    header: bytes
    kind: int
    tokens: int
    cache_bytes: int
    model: bytes


def _parse(header: bytes, size: int, where: str) -> _State:
    if len(header) < _HEADER.size or not header.startswith(MAGIC):
        raise FormatError(f"{where}: not a saved session of edge")
    _, version, kind, tokens, cache_bytes, model = _HEADER.unpack(header)
    if version != VERSION:
        raise FormatError(f"{where}: session version {version}, this edge reads {VERSION}")
    expected = _HEADER.size + 4 * tokens + cache_bytes + _CHECKSUM_BYTES
    if size != expected:
        raise FormatError(f"{where}: {size} bytes, expected {expected}; the file was cut off")
    return _State(header, kind, tokens, cache_bytes, model)


def _check(state: _State, engine: Engine, where: str) -> None:
    """Whether the state belongs to the engine's model and its cache."""
    model = engine.model
    shape = model.cache.shape
    if state.model != model_digest(model.file):
        raise FormatError(f"{where}: saved with another model than {model.file.path}")
    if state.kind != KINDS.index(shape.kind):
        kind = KINDS[state.kind] if state.kind < len(KINDS) else state.kind
        raise FormatError(f"{where}: a {kind} cache, this one is {shape.kind}; use --kv {kind}")
    if state.tokens > model.context:
        raise DoesNotFit(
            f"{where}: {state.tokens} tokens do not fit into a context of {model.context}; "
            "ask for a larger one with -c"
        )
    if state.cache_bytes != _cache_bytes(shape, state.tokens):
        raise FormatError(f"{where}: {state.cache_bytes} bytes of cache do not belong to the model")


def _cache_bytes(shape: CacheShape, positions: int) -> int:
    blocks = -(-positions // POSITIONS)
    return shape.layers * shape.heads * blocks * shape.block_bytes


def model_digest(file: EdgeFile) -> bytes:
    """SHA-256 of the header's document, which names every tensor's checksum."""
    return hashlib.sha256(json.dumps(file.document, sort_keys=True).encode()).digest()


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
