"""A file in the making, in a folder of its own: after a kill its writing goes on where it stopped.

weights.part    the file, without its header
journal.jsonl   what it is of, then a line for each tensor that is whole, or a note on one
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from .spec import TensorInfo

CHUNK = 2**22


class Unfinished:
    """The part that is there already, if it is of the same `identity`; else a new one.

    infos  tensors that lie in `file` one after the other, whole by their checksums
    notes  (tensor, text), in the order they were made

    Raises OSError if the folder cannot be made, BlockingIOError if another process writes there.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._part, self._journal_path = folder / "weights.part", folder / "journal.jsonl"
        self.file = _locked(self._part)
        head = json.dumps({"identity": identity}, sort_keys=True)
        self.infos: list[TensorInfo] = []
        self.notes: list[tuple[str, str]] = []
        lines = self._read(head)
        self._journal = open(self._journal_path, "w", encoding="utf-8")  # noqa: SIM115
        self._append(head, *lines)

    def record(self, info: TensorInfo) -> None:
        """Note down that a tensor is written."""
        self.file.flush()
        self._append(json.dumps({"tensor": asdict(info)}))

    def note(self, tensor: str, text: str) -> None:
        self.notes.append((tensor, text))
        self._append(json.dumps({"note": [tensor, text]}))

    def close(self) -> None:
        for file in (self.file, self._journal):
            with suppress(OSError):  # a full disk, once more
                file.close()

    def remove(self) -> None:
        """The files, and the folder if nothing else lies in it."""
        self.close()
        for path in (self._part, self._journal_path):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _append(self, *lines: str) -> None:
        self._journal.write("".join(f"{line}\n" for line in lines))
        self._journal.flush()

    def _read(self, head: str) -> list[str]:
        """Lines of the journal that hold; a note holds if its tensor does."""
        kept: list[str] = []
        pending: list[tuple[str, str]] = []
        for line, entry in self._entries(head):
            if "note" in entry:
                pending.append((entry["note"][0], entry["note"][1]))
            else:
                info = TensorInfo(**entry["tensor"] | {"shape": tuple(entry["tensor"]["shape"])})
                if not self._is_whole(info):
                    break
                kept += [json.dumps({"note": note}) for note in pending] + [line]
                self.infos.append(info)
                self.notes += pending
                pending = []
        return kept

    def _entries(self, head: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if not self._journal_path.exists():
            return
        first, *lines = self._journal_path.read_text(encoding="utf-8").split("\n")
        for line in lines if first == head else ():
            try:
                yield line, json.loads(line)
            except ValueError:  # the line that was being written
                return

    def _is_whole(self, info: TensorInfo) -> bool:
        if self.infos and info.offset != self.infos[-1].offset + self.infos[-1].nbytes:
            return False
        self.file.seek(info.offset)
        digest, left = hashlib.sha256(), info.nbytes
        while left and (chunk := self.file.read(min(left, CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
        return not left and digest.hexdigest() == info.sha256


def _locked(path: Path) -> BinaryIO:
    """The file to read and write, for this process alone."""
    path.touch()
    file: BinaryIO = open(path, "r+b")  # noqa: SIM115
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # not on Windows
        pass
    except OSError:
        file.close()
        raise
    return file
