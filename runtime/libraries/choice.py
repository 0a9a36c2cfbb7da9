"""Which kernels this process runs: the fastest that load here and compute what they should."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from edge.errors import KernelMismatch, LibraryError

from . import cache as code
from .cpu import cpu_digest, host, machine, runnable
from .library import Library
from .prebuilt import FOLDER, Prebuilt

PATIENCE_S = 120  # for a self-test on the slowest board
NUMPY_SLOWDOWN = 50  # generating with SmolLM2 135M, against the compiled kernels on AVX-512


@dataclass(frozen=True)
class Rejected:
    """A library that was there and not taken."""

    name: str
    reason: str


@dataclass
class Choice:
    """The library in use, and what was tried before it."""

    library: Library
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """Why it is this one, in words."""
        if isinstance(self.library, Prebuilt):
            return f"the best for this processor that works here: {self.library.path}"
        if self.library.source == "numpy":
            return _slow()
        if self.rejected:
            return "no prebuilt library works here"
        return "no library was built for this processor; Numba compiles here"


@cache
def choice() -> Choice:
    """This machine's kernels: prebuilt for its best target or a safer one, else by Numba.

    A prebuilt library is tested in a process of its own before its first use; the result is
    remembered for this library and this CPU.  Where nothing is compiled NumPy works, and a
    RuntimeWarning says so.
    """
    rejected: list[Rejected] = []
    for name, make in _candidates():
        try:
            return Choice(make(), rejected)
        except KernelMismatch as error:
            warnings.warn(f"{error}; trying the next library", RuntimeWarning, stacklevel=2)
            rejected.append(Rejected(name, str(error).removeprefix(f"{name}: ")))
        except LibraryError as error:
            rejected.append(Rejected(name, str(error).removeprefix(f"{name}: ")))
    warnings.warn(_slow(), RuntimeWarning, stacklevel=2)
    from .plain import NumpyLibrary

    return Choice(NumpyLibrary(), rejected)


def _slow() -> str:
    ahead = ", or edge compile on a desktop" if runnable() else ""
    return (
        f"no compiled kernels for this machine ({machine()}): running on NumPy, about "
        f"{NUMPY_SLOWDOWN} times slower; pip install 'edge[jit]'{ahead}"
    )


def library() -> Library:
    """The library of `choice`."""
    return choice().library


def _candidates() -> Iterator[tuple[str, Callable[[], Library]]]:
    for target in runnable():
        for folder in (code.folder(), FOLDER):
            path = folder / f"{target.name}.so"
            if path.exists() and (folder == FOLDER or code.is_private(folder)):
                yield str(path), lambda path=path: tested(path)  # type: ignore[misc]
    from . import jit  # only if nothing prebuilt works here: a start on a device is to be short

    if jit.available():
        yield "numba", lambda: jit.Jit(host(), check)


def tested(path: Path) -> Prebuilt:
    """A library that passed its self-test on this CPU, now or earlier.

    Raises LibraryError, or KernelMismatch naming the kernels that are wrong.
    """
    found = Prebuilt(path, machine())
    verdict = code.folder() / "tested" / f"{_digest(path)}-{cpu_digest()}"
    if code.read(verdict) != code.PASSED:
        _test(path, found.target.name)
        code.keep(verdict, code.PASSED)
    return found


def check(kernels: Library, names: list[str]) -> None:
    """Raises KernelMismatch if one of these kernels computes something else than NumPy."""
    from ..selftest import selftest

    wrong = [check.kernel for check in selftest(kernels, names) if not check.passed]
    if wrong:
        raise KernelMismatch(_mismatch(kernels.target.name, wrong))


def _mismatch(target: str, wrong: list[str]) -> str:
    return f"kernels for {target} compute something else than NumPy: {', '.join(wrong)}"


def _test(path: Path, target: str) -> None:
    """In a child: an instruction that this CPU lacks must not kill the user's process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-P", "-m", "edge.runtime.selftest", str(path)]
    if sys.version_info < (3, 11):
        command.remove("-P")
    try:
        done = subprocess.run(
            command,
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LibraryError(f"{path}: the self-test could not run: {error}") from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise LibraryError(f"{path}: the self-test died of {name}")
    if done.returncode:
        raise LibraryError(f"{path}: the self-test failed: {(done.stderr.strip() or '?')[-200:]}")
    wrong = json.loads(done.stdout)
    if wrong:
        raise KernelMismatch(_mismatch(target, wrong))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
