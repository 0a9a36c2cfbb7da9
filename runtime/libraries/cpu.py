"""This machine's CPU: what it is, and which targets' code it runs."""

import ctypes
import hashlib
import os
import platform
from functools import cache
from pathlib import Path

from edge.errors import EdgeError

from ..kernels.target import TARGETS, Target, named

# What /proc/cpuinfo calls the features a target needs; the best target first.
_AVX2 = frozenset({"avx2", "fma", "f16c", "bmi2", "movbe"})
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512_vnni"})
_DOTPROD = frozenset({"asimd", "asimddp", "asimdhp"})
_NEEDS = {
    "x86_64": {
        "x86-64-v4-vnni": _AVX2 | _AVX512,
        "x86-64-v3-vnni": _AVX2 | {"avx_vnni"},
        "x86-64-v3": _AVX2,
        "x86-64": frozenset[str](),
    },
    "aarch64": {
        "aarch64-i8mm": _DOTPROD | {"i8mm"},
        "aarch64-dotprod": _DOTPROD,
        "aarch64": frozenset({"asimd"}),
    },
}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# getauxval(3): hwcap bits of arch/arm64/include/uapi/asm/hwcap.h, what all cores share.
_HWCAP, _HWCAP_BITS = 16, {"asimd": 1, "asimdhp": 10, "asimddp": 20}
_HWCAP2, _HWCAP2_BITS = 26, {"i8mm": 13}


def machine() -> str:
    """This CPU's architecture, as ELF and LLVM call it: x86_64, aarch64, ..."""
    name = platform.machine().lower()
    return _MACHINES.get(name, name)


@cache
def runnable() -> tuple[Target, ...]:
    """Targets whose code this CPU runs, the fastest first; EDGE_TARGET names the only one.

    Raises EdgeError if EDGE_TARGET names none.
    """
    chosen = os.environ.get("EDGE_TARGET")
    if chosen:
        try:
            return (named(chosen),)
        except ValueError as error:
            raise EdgeError(f"EDGE_TARGET: {error}") from None
    flags = cpu_flags()
    needs = _NEEDS.get(machine(), {})
    return tuple(TARGETS[name] for name, needed in needs.items() if needed <= flags)


@cache
def host() -> Target:
    """The best target this CPU can run, one for any CPU that LLVM knows if it is none of ours."""
    if targets := runnable():
        return targets[0]
    from llvmlite import binding as llvm

    return Target(f"plain-{machine()}", "plain", llvm.get_process_triple(), "generic")


def x86_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Feature flags of the first processor, as Linux names them; empty where unknown."""
    try:
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


def cpu_flags() -> set[str]:
    """Features that every core of this CPU has, as Linux names them; empty where unknown."""
    return arm_flags() if machine() == "aarch64" else x86_flags()


def arm_flags() -> set[str]:
    """From the kernel's hardware capabilities: LLVM knows only the part numbers it knows."""
    if platform.system() == "Darwin":  # every Apple Silicon core has them
        return {"asimd", "asimdhp", "asimddp"}
    try:
        getauxval = ctypes.CDLL(None).getauxval
    except (OSError, AttributeError):
        return {"asimd"}
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    flags = {name for name, bit in _HWCAP_BITS.items() if getauxval(_HWCAP) >> bit & 1}
    return flags | {name for name, bit in _HWCAP2_BITS.items() if getauxval(_HWCAP2) >> bit & 1}


@cache
def cpu_digest(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Changes with the kind of processor, not with its clock."""
    fixed = ("model name", "flags", "Features", "CPU implementer", "CPU part", "CPU revision")
    try:
        lines = {line for line in cpuinfo.read_text().splitlines() if line.startswith(fixed)}
    except OSError:
        lines = set()
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
