"""What edge processes are doing, told from one to the other: a small file each, for `edge monitor`.

The files lie in XDG_RUNTIME_DIR/edge, or in a folder of the user's own among the temporary files: in
memory on most systems.  One is replaced at most twice a second, and taken away at the end; those of
processes that were killed are found by their number and taken away by whoever reads them.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .activity import Activity
from .ledger import Ledger
from .sample import Sample

SCHEMA = 1
PERIOD_S = 0.5
STALE_S = 3.0  # after which a process that does not tell is idle
RATES = "tok_s", "sustained_tok_s", "first_tok_s", "joules_per_token"
LARGEST = 65536  # bytes of a status; what is larger is none of ours
_numbers = itertools.count(1)  # a process may hold several models


@dataclass(frozen=True)
class Status:
    """One model in one process.  `started` tells the process from a later one of the same number.

    joules: (source, scope, phase, joules since the process began)
    """

    pid: int
    started: str
    model: str
    unix: float
    activity: Activity
    tok_s: float | None = None
    sustained_tok_s: float | None = None
    first_tok_s: float | None = None
    joules_per_token: float | None = None
    joules: tuple[tuple[str, str, str, float], ...] = ()
    throttled_s: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA} | asdict(self)


def folder() -> Path:
    """Where statuses lie; nothing is made here."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "edge"
    return Path(tempfile.gettempdir()) / f"edge-{os.getuid()}"


class Publisher:
    """Tells what this process does; the first thing that cannot be written ends the telling, no more."""

    def __init__(self, model: str, where: Path | None = None):
        self.ledger = Ledger()
        self._model, self._pid = model, os.getpid()
        self._started = process_start(self._pid) or ""
        self._where = where or folder()
        self._path: Path | None = self._where / f"{self._pid}-{next(_numbers)}.json"
        self._remove = weakref.finalize(self, _remove, self._path, self._pid)
        self._told = -PERIOD_S

    def observe(self, sample: Sample, activity: Activity) -> None:
        """Take a sample; tell, if the last telling was long enough ago."""
        self.ledger.take(sample, activity)
        if sample.t - self._told >= PERIOD_S * 0.9:
            self.tell(sample, activity)

    def tell(self, sample: Sample, activity: Activity) -> None:
        self._told = sample.t
        if self._path is None or os.getpid() != self._pid:  # a fork is another process
            return
        try:
            _private(self._where)
            partial = self._path.with_suffix(".part")
            partial.write_text(json.dumps(self._status(sample, activity).to_json()))
            partial.replace(self._path)
        except OSError:  # read-only, full, not ours: whoever wants to know has to do without
            self.close()

    def close(self) -> None:
        self._remove()
        self._path = None

    def _status(self, sample: Sample, activity: Activity) -> Status:
        ledger = self.ledger
        return Status(
            pid=self._pid,
            started=self._started,
            model=self._model,
            unix=sample.unix,
            activity=activity,
            tok_s=ledger.tok_s if activity.phase == "decode" else None,
            sustained_tok_s=ledger.sustained_tok_s,
            first_tok_s=ledger.first_tok_s,
            joules_per_token=ledger.joules_per_token,
            joules=tuple((*key, joules) for key, joules in ledger.joules.items()),
            throttled_s=dict(ledger.throttled_s),
        )


def statuses(now: float, where: Path | None = None) -> list[Status]:
    """Of all processes of this user that live, those at work first; `now` is the wall's clock."""
    found = [status for path in _files(where or folder()) if (status := _read(path)) is not None]
    current = [_idle_if_stale(status, now) for status in found]
    return sorted(current, key=lambda s: (s.activity.phase == "idle", -s.unix))


def process_start(pid: int) -> str | None:
    """When a process began, in the system's ticks; None where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]  # proc(5): field 22; the name before may hold blanks


def _files(where: Path) -> Iterator[Path]:
    try:
        if where.stat().st_uid == os.getuid():
            yield from sorted(where.glob("*.json"))
    except OSError:
        return


def _read(path: Path) -> Status | None:
    """None for what is no status, and for one of a process that is gone: that is taken away."""
    try:
        with open(path, encoding="utf-8") as file:
            status = _parsed(json.loads(file.read(LARGEST)))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if _lives(status):
        return status
    try:
        path.unlink()
        path.with_suffix(".part").unlink(missing_ok=True)
    except OSError:
        pass
    return None


def _parsed(document: Any) -> Status:
    """Raises ValueError, TypeError or KeyError."""
    if not isinstance(document, dict) or document["schema"] != SCHEMA:
        raise ValueError("not a status of this version")
    return Status(
        pid=int(document["pid"]),
        started=str(document["started"]),
        model=str(document["model"]),
        unix=float(document["unix"]),
        activity=_activity(document["activity"]),
        **{name: _number(document[name]) for name in RATES},
        joules=tuple((str(a), str(b), str(c), float(j)) for a, b, c, j in document["joules"]),
        throttled_s={str(name): float(s) for name, s in dict(document["throttled_s"]).items()},
    )


def _activity(document: Any) -> Activity:
    known = dict(document)
    return Activity(
        threads=int(known["threads"]),
        duty=_number(known["duty"]),
        phase=str(known["phase"]),
        prefill_tokens=int(known["prefill_tokens"]),
        decode_tokens=int(known["decode_tokens"]),
        decode_s=float(known["decode_s"]),
        changes_by={str(kind): int(n) for kind, n in dict(known["changes_by"]).items()},
        action=str(known["action"]),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _lives(status: Status) -> bool:
    started = process_start(status.pid)
    if started is not None:
        return started == status.started
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _idle_if_stale(status: Status, now: float) -> Status:
    if now - status.unix <= STALE_S:
        return status
    return replace(status, activity=replace(status.activity, phase="idle"), tok_s=None)


def _private(where: Path) -> None:
    """Raises OSError where somebody else could put a file in our name."""
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    about = where.stat()
    if about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise PermissionError(f"{where} is open to others")


def _remove(path: Path, pid: int) -> None:
    if os.getpid() != pid:
        return
    for file in (path, path.with_suffix(".part")):
        try:
            file.unlink(missing_ok=True)
        except OSError:
            pass
