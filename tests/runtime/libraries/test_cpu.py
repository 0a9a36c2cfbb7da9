"""Which targets a CPU runs, by the features that all its cores have."""

import pytest

from edge.errors import EdgeError
from edge.runtime.libraries import cpu

A72 = {"asimd"}
A76 = A72 | {"asimdhp", "asimddp"}
X86_V3 = {"avx2", "fma", "f16c", "bmi2", "movbe"}
ZEN_5 = X86_V3 | {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512_vnni"}


@pytest.mark.parametrize(
    "machine, flags, names",
    [
        ("aarch64", A72, ["aarch64"]),
        ("aarch64", A76, ["aarch64-dotprod", "aarch64"]),
        ("aarch64", A76 | {"i8mm"}, ["aarch64-i8mm", "aarch64-dotprod", "aarch64"]),
        ("aarch64", A72 | {"asimddp"}, ["aarch64"]),  # the dot product alone is not enough
        ("aarch64", set(), []),  # no NEON
        ("x86_64", X86_V3, ["x86-64-v3", "x86-64"]),
        ("x86_64", X86_V3 | {"avx_vnni"}, ["x86-64-v3-vnni", "x86-64-v3", "x86-64"]),
        ("x86_64", ZEN_5, ["x86-64-v4-vnni", "x86-64-v3", "x86-64"]),
        ("x86_64", set(), ["x86-64"]),
        ("riscv64", set(), []),
    ],
)
def test_the_fastest_target_comes_first(monkeypatch, machine, flags, names):
    monkeypatch.delenv("EDGE_TARGET", raising=False)
    monkeypatch.setattr(cpu, "machine", lambda: machine)
    monkeypatch.setattr(cpu, "cpu_flags", lambda: flags)
    assert [target.name for target in cpu.runnable.__wrapped__()] == names


def test_a_target_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("EDGE_TARGET", "aarch64")
    assert [target.name for target in cpu.runnable.__wrapped__()] == ["aarch64"]
    monkeypatch.setenv("EDGE_TARGET", "z80")
    with pytest.raises(EdgeError, match="EDGE_TARGET: no target 'z80'; choose from x86-64"):
        cpu.runnable.__wrapped__()


def test_x86_features_are_those_of_cpuinfo(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2 fma\nbugs\t: none\n")
    assert cpu.x86_flags(tmp_path / "cpuinfo") == {"fpu", "avx2", "fma"}
    assert cpu.x86_flags(tmp_path / "none") == set()


def test_the_digest_ignores_the_clock(tmp_path):
    text = "model name\t: A\nflags\t: avx2\ncpu MHz\t: {}\n"
    paths = [tmp_path / name for name in "abc"]
    for path, mhz in zip(paths, (1000, 2000, 1000), strict=True):
        path.write_text(text.format(mhz))
    paths[2].write_text(text.replace("avx2", "avx512f"))
    first, second, other = map(cpu.cpu_digest, paths)
    assert first == second != other
