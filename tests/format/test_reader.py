"""The reader: what a file may be, and what the refusal of any other says."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from edge.errors import FormatError
from edge.format import spec
from edge.format.reader import EdgeFile
from edge.format.spec import nbytes, weight_format
from edge.format.tiles import unpack, unpack_floats
from tests.format import small_file
from tests.format.mutations import mutated
from tests.format.small_file import LAYER, Pieces, framed

ROOT = Path(__file__).parents[2]
KEY = LAYER + "attention.key.weight"
NORM = "output_norm.weight"
TEMPLATE = "chat_template.jinja"


# --- a good file ----------------------------------------------------------------------------------


def test_a_file_says_what_its_writer_said(small):
    file = EdgeFile(small)
    assert file.config == small_file.CONFIG
    assert file.document["recipe"] == small_file.DOCUMENT["recipe"]
    assert file.document["tokenizer"] == {"bos": 1, "eos": [2], "add_bos": True}
    assert file.size == small.stat().st_size
    assert {n: (i.format, i.shape) for n, i in file.tensors.items()} == small_file.TENSORS
    assert file.info(KEY).elements == 16 * 32
    assert KEY in file and "absent" not in file


MATRICES = [n for n, (form, _) in small_file.TENSORS.items() if form not in spec.PAYLOADS]


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_are_read_as_they_were_written(small, name):
    seed, (text, shape) = list(small_file.TENSORS).index(name), small_file.TENSORS[name]
    form, view = weight_format(text), EdgeFile(small).view(name)
    tiles = view.reshape(form.tiles(shape[0]), -1)
    if form.is_float:
        expected = small_file.floats(*shape, seed)
        assert np.array_equal(unpack_floats(tiles, form.kind, *shape), expected)
    else:
        expected = small_file.quantized(form, *shape, seed).dequantize()
        assert np.array_equal(unpack(tiles, form, *shape).dequantize(), expected)


def test_vectors_and_bytes_are_padded_with_zeros_to_64_bytes(small):
    file = EdgeFile(small)
    gain = file.view(NORM).view("<f4")
    assert np.array_equal(gain, np.linspace(0.5, 1.5, 32).astype("f4"))
    assert file.read_bytes(TEMPLATE) == small_file.TEMPLATE
    padding = file.view(TEMPLATE)[len(small_file.TEMPLATE) :]
    assert len(padding) == 64 - len(small_file.TEMPLATE) % 64 and not padding.any()


def test_views_are_read_only_and_share_the_mapping(small):
    file = EdgeFile(small)
    view = file.view(KEY)
    assert not view.flags.writeable and not view.flags.owndata
    assert view.ctypes.data == file.address(KEY)
    assert np.shares_memory(view, file.view(KEY))
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_every_tensor_begins_on_64_bytes(small):
    file = EdgeFile(small)
    for name, info in file.tensors.items():
        assert file.address(name) % 64 == 0 and info.offset % 64 == 0 and info.nbytes % 64 == 0


def test_safetensors_lists_the_same_tensors(small):
    file = EdgeFile(small)
    with safe_open(small, "numpy") as other:
        assert set(other.keys()) == set(file.tensors)
        assert json.loads(other.metadata()["edge"]) == file.document
        for name in file.tensors:
            assert other.get_tensor(name).tobytes() == file.view(name).tobytes()


def test_a_missing_tensor_is_named(small):
    file = EdgeFile(small)
    for access in (file.info, file.view, file.address, file.read_bytes):
        with pytest.raises(FormatError, match=r"small\.edge: .*'absent'"):
            access("absent")


def test_only_tensors_of_bytes_are_read_as_bytes(small):
    with pytest.raises(FormatError, match=f"{KEY!r} is int4-g32, expected bytes"):
        EdgeFile(small).read_bytes(KEY)


def test_verify_finds_nothing_wrong_with_a_whole_file_and_counts_its_bytes(small):
    file, seen = EdgeFile(small), []
    assert file.verify(seen.append) == []
    assert seen == sorted(seen) and seen[-1] == sum(i.nbytes for i in file.tensors.values())


@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("name", [TEMPLATE, KEY, NORM, "embedding.weight"])
def test_verify_names_the_tensor_whose_byte_was_flipped(small, tmp_path, name, at):
    info = EdgeFile(small).info(name)
    raw = bytearray(small.read_bytes())
    raw[info.offset + at % info.nbytes] ^= 1
    path = tmp_path / "flipped.edge"
    path.write_bytes(raw)
    assert EdgeFile(path).verify() == [name]


def test_tensors_may_be_listed_in_any_order(pieces, tmp_path):
    pieces.header = dict(reversed(pieces.header.items()))
    path = tmp_path / "reversed.edge"
    path.write_bytes(pieces.bytes())
    file = EdgeFile(path)
    assert file.verify() == []
    offsets = [info.offset for info in file.tensors.values()]
    assert offsets == sorted(offsets)


def test_opening_a_sparse_gigabyte_takes_little_private_memory(tmp_path):
    rows, columns = 16384, 65536
    size = nbytes("int8", (rows, columns))
    path = tmp_path / "large.edge"
    pieces = small_file.one_tensor("int8", [rows, columns], size)
    content = pieces.bytes()
    path.write_bytes(content)
    os.truncate(path, len(content) + size)
    code = f"""
import sys
from edge.format.reader import EdgeFile
def private():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private"))
before = private()
file = EdgeFile({str(path)!r})
assert file.size > 2**30 and file.view("w").size == {size}
print(private() - before)
"""
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this system does not say how much memory is private")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert int(found.stdout) < 5 * 1024  # KiB


# --- not an .edge file at all ---------------------------------------------------------------------


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "cut.edge"
    content = small_file.one_tensor("int8", [3, 4], 1088, data=bytes(1088)).bytes()
    path.write_bytes(content)
    EdgeFile(path)
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        with pytest.raises(FormatError):
            EdgeFile(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"GGUF", b"PK\x03\x04" + bytes(100), bytes(64), bytes(8192), b"\xff" * 8192],
    ids=["empty", "four bytes", "zip", "64 zeros", "8192 zeros", "all ones"],
)
def test_other_files_are_refused(refusal, content):
    assert refusal(content).startswith(f"not an .edge file: {len(content)} bytes, header said")


@pytest.mark.parametrize("length", [0, 1, 2**24 + 56, 2**40, 2**63, 2**64 - 1])
def test_a_header_of_an_impossible_length_is_refused(refusal, pieces, length):
    content = length.to_bytes(8, "little") + pieces.bytes()[8:]
    assert f"header said to be {length}, expected 2..16777216" in refusal(content)


def test_a_header_beyond_the_cap_is_refused_without_reading_it(refusal, tmp_path):
    length = spec.MAX_HEADER + 56
    content = length.to_bytes(8, "little") + b"{}".ljust(length)
    assert f"header said to be {length}" in refusal(content)


@pytest.mark.parametrize("shift", [1, 8, 32])
def test_data_off_its_boundary_is_refused(refusal, pieces, shift):
    header = pieces.header_text().encode().ljust(4096)
    content = (4096 + shift).to_bytes(8, "little") + header + b" " * shift + pieces.data
    message = refusal(content)
    assert f"data starts at byte {4104 + shift}, expected a multiple of 64" in message


def test_a_plain_safetensors_file_is_refused_with_the_way_to_go(refusal):
    entry = {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}
    for metadata in ({}, {"__metadata__": {"format": "pt"}}):
        assert "edge export" in refusal(
            framed(json.dumps(metadata | {"w": entry}).encode(), bytes(64))
        )


def test_a_folder_and_a_missing_file_are_no_format_errors(tmp_path):
    with pytest.raises(IsADirectoryError):
        EdgeFile(tmp_path)
    with pytest.raises(FileNotFoundError):
        EdgeFile(tmp_path / "absent.edge")


@pytest.mark.parametrize("writers", [0, 1])
def test_a_pipe_is_refused_without_waiting(tmp_path, writers):
    path = tmp_path / "pipe.edge"
    os.mkfifo(path)
    held = [os.open(path, os.O_RDWR) for _ in range(writers)]
    with pytest.raises(FormatError, match="not an .edge file"):
        EdgeFile(path)
    for descriptor in held:
        os.close(descriptor)


def test_a_file_that_is_cut_while_it_is_open_is_refused_before_its_pages_are_read(small, tmp_path):
    path = tmp_path / "in_use.edge"
    path.write_bytes(small.read_bytes())
    file = EdgeFile(path)
    file.check_size()
    os.truncate(path, 4096)
    for access in (lambda: file.view(NORM), file.verify, lambda: file.read_bytes(TEMPLATE)):
        with pytest.raises(FormatError, match=f"4096 bytes, expected {file.size} as when"):
            access()


def test_a_file_that_is_replaced_by_rename_stays_whole(small, tmp_path):
    path = tmp_path / "in_use.edge"
    path.write_bytes(small.read_bytes())
    file = EdgeFile(path)
    (tmp_path / "new.edge").write_bytes(b"new")
    os.replace(tmp_path / "new.edge", path)
    assert file.verify() == []


# --- any broken file ------------------------------------------------------------------------------


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutations_of_a_header_are_refused_or_harmless(small, tmp_path_factory, data):
    content = data.draw(mutated(Pieces.of(small)))
    path = tmp_path_factory.getbasetemp() / "mutated.edge"
    path.write_bytes(content)
    try:
        file = EdgeFile(path)
    except FormatError as error:
        assert "\n" not in str(error)
        return
    for name, info in file.tensors.items():
        view = file.view(name)
        assert view.size == info.nbytes and 0 < info.offset <= file.size - info.nbytes
        assert (hashlib.sha256(view).hexdigest() != info.sha256) == (name in file.verify())
