"""A library built ahead of time loads anywhere: freestanding, on large pages, reproducible."""

import struct

import machine
import pytest

from edge.errors import EdgeError
from edge.exporter.aot import library, linker
from edge.runtime.kernels.target import SHIPPED
from edge.runtime.libraries import elf, jit
from edge.runtime.libraries.cpu import runnable

pytestmark = pytest.mark.skipif(not jit.available(), reason="compiling needs Numba")
NEEDED, TEXTREL, HASH, GNU_HASH = 1, 22, 4, 0x6FFFFEF5  # d_tag


@pytest.fixture(scope="module")
def path():
    """The library of the best target that this machine runs, its objects from the cache."""
    best = next((t for t in runnable() if t.name in SHIPPED), None)
    if best is None:
        pytest.skip("no library is made for this machine")
    return machine.library_for(best, machine.PREBUILT).path


def dynamic(file: elf.Elf) -> dict[int, int]:
    return dict(struct.iter_unpack("<QQ", file.sections[".dynamic"]))


def test_it_needs_no_other_library(path):
    tags = dynamic(elf.read(path))
    assert NEEDED not in tags and TEXTREL not in tags
    assert HASH in tags and GNU_HASH in tags  # old Android, and glibc


def test_every_symbol_is_its_own(path):
    table = elf.read(path).sections[".dynsym"]
    sections = [fields[3] for fields in struct.iter_unpack("<IBBHQQ", table)]
    assert 0 not in sections[1:]  # SHN_UNDEF; the first symbol is always that


def test_its_pages_are_of_16_kib_and_never_writable_code(path):
    for segment in elf.read(path).segments:
        assert segment.kind != elf.THREAD_LOCAL
        assert segment.kind != elf.LOAD or segment.alignment % 16384 == 0
        assert not (segment.flags & elf.WRITE and segment.flags & elf.EXECUTE)


def test_it_is_the_same_every_time(path, tmp_path):
    target = next(t for t in runnable() if t.name == path.stem)
    assert library.build(target, tmp_path).read_bytes() == path.read_bytes()


def test_without_a_linker_it_says_how_to_get_one(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(linker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EdgeError, match="apt install binutils-aarch64-linux-gnu, or pip install"):
        linker.find("aarch64")


def test_a_symbol_that_nobody_has_is_a_link_error(tmp_path):
    from llvmlite import binding, ir

    target = runnable()[0]
    module = ir.Module("leak")
    module.triple = target.triple
    void = ir.FunctionType(ir.VoidType(), [])
    leak = ir.Function(module, void, "expf")
    builder = ir.IRBuilder(ir.Function(module, void, "edge_leaks").append_basic_block())
    builder.call(leak, [])
    builder.ret_void()
    code = binding.Target.from_triple(target.triple).create_target_machine(reloc="pic")
    (tmp_path / "leak.o").write_bytes(code.emit_object(binding.parse_assembly(str(module))))
    with pytest.raises(EdgeError, match="expf"):
        linker.link(target.triple.partition("-")[0], [tmp_path / "leak.o"], tmp_path / "leak.so")
