"""The linker: needed to build a kernel library, never to use one."""

import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from edge.errors import EdgeError

PAGE = 16384  # of a Raspberry Pi 5's kernel and of Android 15; 4 KiB systems load it as well
OPTIONS = (
    "-shared", "-z", "defs", "-z", f"max-page-size={PAGE}", "-z", "noexecstack", "-z", "now",
    "--hash-style=both", "--build-id=none", "--gc-sections", "--strip-all",
)  # fmt: skip
EMULATIONS = {"x86_64": "elf_x86_64", "aarch64": "aarch64linux"}
PACKAGES = {"x86_64": "binutils", "aarch64": "binutils-aarch64-linux-gnu"}


def find(machine: str) -> list[str]:
    """The command of a linker for x86_64 or aarch64.

    Raises EdgeError that says how to get one.
    """
    native = ["ld"] if machine == platform.machine() else []
    for name in (f"{machine.replace('_', '-')}-linux-gnu-ld", "ld.lld", *native):
        if path := shutil.which(name):
            return [path, "-m", EMULATIONS[machine]]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "ld.lld", "-m", EMULATIONS[machine]]
    raise EdgeError(
        f"no linker for {machine}; apt install {PACKAGES[machine]}, or pip install ziglang"
    )


def link(machine: str, objects: list[Path], output: Path) -> None:
    """A shared library without a C library.  Raises EdgeError with the linker's words."""
    command = [*find(machine), *OPTIONS, "-soname", output.name, "-o", str(output)]
    done = subprocess.run(
        [*command, *map(str, objects)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no message"]
        raise EdgeError(f"{command[0]}: {words[-1]}")
