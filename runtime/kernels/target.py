"""What a kernel is compiled for, and what this machine's CPU is."""

import hashlib
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A CPU to compile for: LLVM's names for it, and which of simd's products it runs."""

    name: str
    isa: str  # avx512vnni, avxvnni, avx2, dotprod, neon or plain
    triple: str
    cpu: str
    features: str = ""


X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
TARGETS = {
    t.name: t
    for t in (
        Target("x86-64-v4-vnni", "avx512vnni", X86, "x86-64-v4", "+avx512vnni,-prefer-256-bit"),
        Target("x86-64-v3-vnni", "avxvnni", X86, "x86-64-v3", "+avxvnni"),
        Target("x86-64-v3", "avx2", X86, "x86-64-v3"),
        Target("x86-64", "plain", X86, "x86-64"),
        Target("aarch64-dotprod", "dotprod", ARM, "generic", "+v8.2a,+dotprod,+fullfp16"),
        Target("aarch64", "neon", ARM, "generic"),
        Target("aarch64-plain", "plain", ARM, "generic"),
    )
}
# What the wheel carries; for the others Numba compiles on the machine itself.
SHIPPED = ("aarch64", "aarch64-dotprod", "x86-64-v3", "x86-64-v4-vnni")

# What /proc/cpuinfo calls the features a target needs; the best target first.
_AVX2 = frozenset({"avx2", "fma", "f16c", "bmi2", "movbe"})
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512_vnni"})
_NEEDS = {
    "x86_64": {
        "x86-64-v4-vnni": _AVX2 | _AVX512,
        "x86-64-v3-vnni": _AVX2 | {"avx_vnni"},
        "x86-64-v3": _AVX2,
        "x86-64": frozenset[str](),
    },
    "aarch64": {
        "aarch64-dotprod": frozenset({"asimd", "asimddp", "asimdhp"}),
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

    Raises ValueError if EDGE_TARGET names none.
    """
    chosen = os.environ.get("EDGE_TARGET")
    if chosen:
        return (named(chosen),)
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


def named(name: str) -> Target:
    """The target of this name.  Raises ValueError naming those there are."""
    if name not in TARGETS:
        raise ValueError(f"no target {name!r}; choose from {', '.join(TARGETS)}")
    return TARGETS[name]


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
    import ctypes

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
