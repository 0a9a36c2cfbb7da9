"""What a kernel is compiled for, and what this machine's CPU is."""

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

_HWCAP, _HWCAP2 = 16, 26
_ASIMDDP = 1 << 20
_NEEDS = {  # flags of /proc/cpuinfo, a target, best first
    "x86-64-v4-vnni": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512_vnni"},
    "x86-64-v3-vnni": {"avx2", "fma", "f16c", "bmi2", "movbe", "avx_vnni"},
    "x86-64-v3": {"avx2", "fma", "f16c", "bmi2", "movbe"},
}


@cache
def host() -> Target:
    """The best target this CPU can run; EDGE_TARGET names another."""
    chosen = os.environ.get("EDGE_TARGET")
    if chosen:
        return named(chosen)
    machine = platform.machine().lower()
    if machine in ("aarch64", "arm64"):
        return TARGETS["aarch64-dotprod" if _arm_has_dotprod() else "aarch64"]
    if machine in ("x86_64", "amd64"):
        flags = x86_flags()
        return TARGETS[next((n for n, needs in _NEEDS.items() if needs <= flags), "x86-64")]
    from llvmlite import binding as llvm

    return Target(f"plain-{machine}", "plain", llvm.get_process_triple(), "generic")


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


def _arm_has_dotprod() -> bool:
    """From the kernel's hardware capabilities: LLVM knows only the part numbers it knows."""
    import ctypes

    try:
        getauxval = ctypes.CDLL(None).getauxval
    except (OSError, AttributeError):  # macOS: every Apple Silicon core has it
        return platform.system() == "Darwin"
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return bool(getauxval(_HWCAP) & _ASIMDDP)
