"""Write an .edge file: one tensor in memory at a time, and the old file untouched until the end."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from edge.errors import DoesNotFit

from . import in_order, spec, tiles
from .addends import PARTS
from .formats import ALIGNMENT, QuantizedTensor
from .header import Header
from .unfinished import Unfinished

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Parts of names that readers of earlier versions would pass over.
SINCE = {in_order.NAME: 3, **dict.fromkeys(["in_scale", *PARTS], 2)}


class EdgeWriter:
    """Streams tensors into a temporary file beside `path`; a clean exit renames it.

        with EdgeWriter("model.edge", tensors=300) as writer:
            writer.add_vector("output_norm.weight", gain)
            writer.document = {...}

    `tensors` is at least the number of tensors that will be added: room for the header, which
    comes first in the file but is known last.  Raises DoesNotFit when the disk is full.

    `room` is how many bytes the header takes, where its document and tensors are known before
    (`header_bytes`).

    With an `unfinished` file the writing outlives a kill: tensors that it holds already are `in`
    the writer, and those that follow them are added.
    """

    def __init__(
        self,
        path: str | Path,
        tensors: int,
        unfinished: Unfinished | None = None,
        room: int | None = None,
    ):
        self.path = Path(path)
        self.document: dict[str, Any] = {}
        self.infos: list[spec.TensorInfo] = []
        self.notes: list[tuple[str, str]] = []  # on tensors; not in the file
        self._header_size = _align(16384 + 640 * tensors + 32768 if room is None else room)
        if self._header_size > spec.MAX_HEADER:
            raise DoesNotFit(
                f"cannot write {self.path}: {tensors} tensors do not fit into a header"
            )
        if self.path.exists() and not self.path.is_file():
            raise OSError(f"cannot write {self.path}: it is no regular file")
        self._unfinished, self._end = unfinished, self._header_size
        if unfinished is None:
            self._file: IO[bytes] = self._temporary()
        else:
            self._file, self.notes = unfinished.file, unfinished.notes
            self.infos = list(unfinished.infos)
            if self.infos:
                self._end = self.infos[-1].offset + self.infos[-1].nbytes
        self._file.seek(self._end)

    def _temporary(self) -> IO[bytes]:
        try:
            return tempfile.NamedTemporaryFile(
                dir=self.path.parent, prefix=f".{self.path.name}.", delete=False
            )
        except OSError as error:
            raise OSError(f"cannot write {self.path}: {error.strerror}") from None

    def __contains__(self, name: str) -> bool:
        return any(info.name == name for info in self.infos)

    def add_matrix(
        self,
        name: str,
        tensor: QuantizedTensor,
        error: float | None = None,
        activation: str | float | None = None,
    ) -> spec.TensorInfo:
        """`activation`: "token", "float", or a scale (edge/format/spec.py).

        The order of its columns, if it has one, goes before it.
        """
        order = f"{name.removesuffix('.weight')}.{in_order.NAME}"
        if tensor.order is not None and order not in self:
            self.add_indices(order, tensor.order)
        form = str(tensor.format)
        return self._add(name, form, tensor.shape, tiles.pack(tensor), error, activation)

    def add_float_matrix(
        self, name: str, matrix: np.ndarray, kind: str, error: float | None = None
    ) -> spec.TensorInfo:
        """float32 [rows, columns], stored as `kind`, "float32" or "float16"."""
        return self._add(name, kind, matrix.shape, tiles.pack_floats(matrix, kind), error)

    def add_vector(self, name: str, values: np.ndarray) -> spec.TensorInfo:
        """float32 [n]."""
        payload = np.ascontiguousarray(values, "<f4").view(np.uint8)
        return self._add(name, "vector", values.shape, payload)

    def add_indices(self, name: str, values: np.ndarray) -> spec.TensorInfo:
        """int32 [n]."""
        payload = np.ascontiguousarray(values, "<i4").view(np.uint8)
        return self._add(name, "indices", values.shape, payload)

    def add_bytes(self, name: str, content: bytes) -> spec.TensorInfo:
        return self._add(name, "bytes", (len(content),), np.frombuffer(content, np.uint8))

    def note(self, tensor: str, text: str) -> None:
        """Something to tell of a tensor that is about to be added; it outlives a kill with it."""
        if self._unfinished is None:
            self.notes.append((tensor, text))
            return
        try:
            self._unfinished.note(tensor, text)
        except OSError as error:
            raise self._failure(error) from error

    def _add(
        self,
        name: str,
        form: str,
        shape: tuple[int, ...],
        payload: np.ndarray,
        error: float | None = None,
        activation: str | float | None = None,
    ) -> spec.TensorInfo:
        size = spec.nbytes(form, shape)
        raw = np.ascontiguousarray(payload).data.cast("B")
        padding = bytes(size - len(raw))
        digest = hashlib.sha256(raw)
        digest.update(padding)
        self._write(raw)
        self._write(padding)
        info = spec.TensorInfo(
            name,
            form,
            tuple(map(int, shape)),
            self._end,
            size,
            digest.hexdigest(),
            error,
            activation,
        )
        self.infos.append(info)
        self._end += size
        if self._unfinished is not None:
            self._record(info)
        return info

    def _record(self, info: spec.TensorInfo) -> None:
        assert self._unfinished is not None
        try:
            self._unfinished.record(info)
        except OSError as error:
            raise self._failure(error) from error

    def _write(self, data: bytes | memoryview) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failure(error) from error

    def _header(self) -> bytes:
        raw = _raw_header(self.infos, self.document, self._header_size)
        room = self._header_size - 8
        assert len(raw) <= room, "more tensors than announced"
        return room.to_bytes(8, "little") + raw.ljust(room)

    def __enter__(self) -> "EdgeWriter":  # noqa: PYI034 (Self needs Python 3.11)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            if self._unfinished is None:
                with suppress(OSError):  # of a full disk, once more: what is buffered has no place
                    self._file.close()
                Path(self._file.name).unlink(missing_ok=True)
            elif kind is not None and issubclass(kind, KeyboardInterrupt):
                self._unfinished.close()
            else:
                self._unfinished.remove()

    def _finish(self) -> None:
        header = self._header()
        Header(str(self.path), header[8:], self._end)  # what we write we can read
        try:
            self._file.truncate(self._end)  # what a kill left of a tensor is not the file's
            self._file.seek(0)
            self._file.write(header)
            self._file.flush()
            os.fsync(self._file.fileno())
            os.chmod(self._file.name, 0o666 & ~_umask())
            os.replace(self._file.name, self.path)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> Exception:
        message = f"cannot write {self.path}: {error.strerror}"
        return (
            DoesNotFit(f"{message}; free disk space") if error.errno in FULL else OSError(message)
        )


def header_bytes(infos: Sequence[spec.TensorInfo], document: Mapping[str, Any]) -> int:
    """What a header takes; checksums and where tensors are may be unknown, sizes and errors not."""
    placed, end = [], 0
    for info in infos:
        size = spec.nbytes(info.format, info.shape)
        placed.append(replace(info, offset=end, nbytes=size, sha256="0" * 64))
        end += size
    return 8 + len(_raw_header(placed, document, 0))


def _raw_header(
    infos: Sequence[spec.TensorInfo], contents: Mapping[str, Any], data_start: int
) -> bytes:
    declared = {i.name: _declared(i) for i in infos}
    document: dict[str, Any] = {}
    document |= {"version": _version(infos), "layout": spec.LAYOUT_VERSION}
    document |= {**contents, "tensors": declared}
    if not isinstance(document["config"], dict):
        document["config"] = asdict(document["config"])
    header: dict[str, Any] = {"__metadata__": {"edge": json.dumps(document)}}
    for i in infos:
        kind, stored = spec.container(i.format, i.shape)
        start = i.offset - data_start
        header[i.name] = {
            "dtype": kind,
            "shape": stored,
            "data_offsets": [start, start + i.nbytes],
        }
    return json.dumps(header).encode()


def _declared(info: spec.TensorInfo) -> dict[str, Any]:
    declared: dict[str, Any] = {
        "format": info.format,
        "shape": info.shape,
        "sha256": info.sha256,
        "error": info.error,
    }
    return declared if info.activation is None else declared | {"activation": info.activation}


def _version(infos: Sequence[spec.TensorInfo]) -> int:
    """Older readers open whatever they understand."""
    oldest = spec.FORMAT_VERSIONS[0]
    parts = (SINCE.get(i.name.rpartition(".")[2], oldest) for i in infos)
    schemes = (2 + (i.activation == "float") for i in infos if i.activation is not None)
    return max(oldest, *parts, *schemes)


def _align(n: int) -> int:
    return -(-n // ALIGNMENT) * ALIGNMENT


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
