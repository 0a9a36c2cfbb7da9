"""Which library is taken: broken, stale, foreign and wrong ones are named, the next one is tried."""

import platform
import struct
import subprocess

import machine
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import KernelMismatch, LibraryError
from edge.runtime.kernels import catalogue
from edge.runtime.libraries import cache, choice, cpu, elf
from edge.runtime.libraries.prebuilt import SECTION, Prebuilt

OTHER = {"x86_64": 183, "aarch64": 62}  # e_machine
SYMBOL = "<IBBHQQ"  # Elf64_Sym
CRASH = {"x86_64": b"\x0f\x0b", "aarch64": b"\0\0\0\0"}  # ud2, udf
HERE = cpu.machine()

pytestmark = pytest.mark.skipif(
    not any(source == machine.PREBUILT for _, source in machine.libraries()),
    reason=f"no library is made for {platform.machine()}",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A library of this machine, as bytes."""
    best = next(t for t, source in machine.libraries() if source == machine.PREBUILT)
    return machine.library_for(best, machine.PREBUILT).path.read_bytes()


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache of native code."""
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))


def saved(folder, content, name="library.so"):
    path = folder / name
    path.write_bytes(content)
    return path


def changed(content, old, new):
    """The manifest with bytes replaced."""
    manifest = elf._parse(content).sections[SECTION]
    assert old in manifest and len(old) == len(new)
    return content.replace(manifest, manifest.replace(old, new))


def symbols(content):
    """Offset in the file and fields of each dynamic symbol, by name."""
    sections = elf._parse(content).sections
    table, names = sections[".dynsym"], sections[".dynstr"]
    start, size = content.index(table), struct.calcsize(SYMBOL)
    rows = [(at, struct.unpack_from(SYMBOL, table, at)) for at in range(0, len(table), size)]
    return {elf._string(names, fields[0]): (start + at, fields) for at, fields in rows}


def swapped(content, a, b):
    """The library with two kernels under each other's name."""
    table = symbols(content)
    (at_a, fields_a), (at_b, fields_b) = table[catalogue.symbol(a)], table[catalogue.symbol(b)]
    out = bytearray(content)
    struct.pack_into(SYMBOL, out, at_a, *fields_a[:4], *fields_b[4:])
    struct.pack_into(SYMBOL, out, at_b, *fields_b[:4], *fields_a[4:])
    return bytes(out)


def crashing(content, kernel):
    """The library with an invalid instruction as a kernel's first one."""
    address = symbols(content)[catalogue.symbol(kernel)][1][4]
    code = next(
        s for s in elf._parse(content).segments if s.kind == elf.LOAD and s.flags & elf.EXECUTE
    )
    at = address - code.address + code.offset
    return content[:at] + CRASH[HERE] + content[at + len(CRASH[HERE]) :]


def test_a_good_library_has_every_kernel(good, tmp_path):
    library = Prebuilt(saved(tmp_path, good), HERE)
    names = list(catalogue.NAMES)
    assert len({library.address(name) for name in names}) == len(names)


def test_a_library_for_another_machine_is_named(good, tmp_path):
    foreign = good[:18] + struct.pack("<H", OTHER[HERE]) + good[20:]
    with pytest.raises(LibraryError, match=f"made for .*, this machine is {HERE}"):
        Prebuilt(saved(tmp_path, foreign), HERE)


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.3, 0.6, 0.95, 0.9999])
def test_a_truncated_library_is_refused_before_it_is_mapped(good, tmp_path, share):
    with pytest.raises(LibraryError, match="truncated|not a"):
        Prebuilt(saved(tmp_path, good[: int(share * len(good))]), HERE)


def test_a_library_of_other_sources_is_stale(good, tmp_path):
    stale = changed(good, cache.source_digest().encode(), b"0123456789abcdef")
    with pytest.raises(LibraryError, match="made from kernels 0123456789abcdef"):
        Prebuilt(saved(tmp_path, stale), HERE)


def test_a_kernel_missing_from_the_table_is_named(good, tmp_path):
    without = changed(good, b'"rope-int8"', b'"rope-int9"')
    with pytest.raises(LibraryError, match="'rope-int8' is missing from its table"):
        Prebuilt(saved(tmp_path, without), HERE)


def test_a_kernel_missing_from_the_symbols_is_named(good, tmp_path):
    names = elf._parse(good).sections[".dynstr"]
    without = good.replace(names, names.replace(b"edge_rope_int8\0", b"edge_rope_int9\0"))
    with pytest.raises(LibraryError, match="'rope-int8' is missing"):
        Prebuilt(saved(tmp_path, without), HERE)


def test_other_libraries_are_not_ours(good, tmp_path):
    with pytest.raises(LibraryError, match="no kernel library of edge"):
        Prebuilt(saved(tmp_path, good.replace(SECTION.encode(), b".else.manifest")), HERE)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_header_crashes_the_reader(good, data):
    broken = bytearray(good)
    headers = len(good) - 64 * 20  # the ELF header, program headers; section headers at the end
    for _ in range(data.draw(st.integers(1, 8))):
        near = data.draw(st.integers(0, 600) | st.integers(headers, len(good) - 1))
        broken[near] = data.draw(st.integers(0, 255))
    try:
        elf._parse(bytes(broken))
    except (ValueError, struct.error):
        pass


def test_the_verdict_is_remembered(good, tmp_path, fresh, monkeypatch):
    path = saved(tmp_path, good)
    choice.tested(path)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("tested again"))
    choice.tested(path)


def test_wrong_kernels_are_named(good, tmp_path, fresh):
    path = saved(tmp_path, swapped(good, "matmul-int8-g32", "matmul-int8-g64"))
    with pytest.raises(KernelMismatch, match="matmul-int8-g32, matmul-int8-g64"):
        choice.tested(path)


def test_an_instruction_that_the_cpu_lacks_kills_only_the_test(good, tmp_path, fresh):
    with pytest.raises(LibraryError, match="the self-test died of SIGILL"):
        choice.tested(saved(tmp_path, crashing(good, "matmul-int4-g32")))


def test_the_next_library_is_tried(good, tmp_path, fresh, monkeypatch):
    best = Prebuilt(saved(tmp_path, good), HERE).target.name
    (tmp_path / "cache").mkdir(mode=0o700)
    saved(tmp_path / "cache", swapped(good, "matmul-int4-g32", "matmul-int4-g64"), f"{best}.so")
    monkeypatch.setattr(choice, "FOLDER", tmp_path)
    saved(tmp_path, good, f"{best}.so")
    with pytest.warns(RuntimeWarning, match="matmul-int4-g32, matmul-int4-g64; trying"):
        chosen = choice.choice.__wrapped__()
    assert chosen.library.path == tmp_path / f"{best}.so"
    (rejected,) = chosen.rejected
    assert rejected.name == str(tmp_path / "cache" / f"{best}.so")


def test_native_code_that_others_may_write_is_not_used(good, tmp_path, fresh):
    folder = tmp_path / "cache"
    cache.keep(folder / "kernel.o", b"code")
    assert cache.read(folder / "kernel.o") == b"code"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert cache.read(folder / "kernel.o") == b""
