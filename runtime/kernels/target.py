"""What a kernel can be compiled for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A CPU to compile for: LLVM's names for it, and which of simd's products it runs."""

    name: str
    isa: str  # avx512vnni, avxvnni, avx2, i8mm, dotprod, neon or plain
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
        Target("aarch64-i8mm", "i8mm", ARM, "generic", "+v8.2a,+dotprod,+fullfp16,+i8mm"),
        Target("aarch64-dotprod", "dotprod", ARM, "generic", "+v8.2a,+dotprod,+fullfp16"),
        Target("aarch64", "neon", ARM, "generic"),
        Target("aarch64-plain", "plain", ARM, "generic"),
    )
}
# What the wheel carries; for the others Numba compiles on the machine itself.
SHIPPED = ("aarch64", "aarch64-dotprod", "aarch64-i8mm", "x86-64-v3", "x86-64-v4-vnni")


def named(name: str) -> Target:
    """The target of this name.  Raises ValueError naming those there are."""
    if name not in TARGETS:
        raise ValueError(f"no target {name!r}; choose from {', '.join(TARGETS)}")
    return TARGETS[name]
