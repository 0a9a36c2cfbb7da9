"""safetensors files: every type as float32, and nothing believed before it is checked."""

import json
import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from edge.errors import EdgeError, SourceError
from edge.exporter.sources.safetensors_file import SafetensorsFile

rng = np.random.default_rng(0)


def with_header(header: Any, data: bytes = b"", size: int | None = None) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded) if size is None else size) + encoded + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


def opened(tmp_path: Path, content: bytes) -> SafetensorsFile:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    return SafetensorsFile(path)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"])
def test_what_the_reference_library_writes_is_read_as_float32(tmp_path, dtype):
    values = rng.integers(0, 2, (3, 5)).astype(dtype)
    save_file({"a": values, "b": values[:, :2].copy()}, tmp_path / "model.safetensors")

    file = SafetensorsFile(tmp_path / "model.safetensors")

    assert file.read("a").dtype == np.float32
    assert (file.read("a") == values).all() and (file.read("b") == values[:, :2]).all()


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path, write_safetensors):
    bits = rng.integers(0, 2**16, (4, 8), np.uint16) & 0xBFFF  # no infinities
    write_safetensors(tmp_path / "model.safetensors", {"w": ("BF16", bits)})

    values = SafetensorsFile(tmp_path / "model.safetensors").read("w")

    assert (values.view(np.uint32) == bits.astype(np.uint32) << 16).all()


def test_empty_tensors_and_scalars_are_tensors(tmp_path):
    header = {
        "e": entry(shape=[0, 7], data_offsets=[0, 0]),
        "s": entry(shape=[], data_offsets=[0, 4]),
    }

    file = opened(tmp_path, with_header(header, struct.pack("<f", 2.5)))

    assert file.read("e").shape == (0, 7) and file.read("s") == np.float32(2.5)


@pytest.mark.parametrize(
    "dtype, codes, values",
    [
        ("F8_E4M3", [0x38, 0x7E, 0x01, 0xB8, 0x7F], [1, 448, 2**-9, -1, np.nan]),
        ("F8_E5M2", [0x3C, 0x7B, 0x01, 0xBC, 0xFC], [1, 57344, 2**-16, -1, -np.inf]),
    ],
)
def test_8_bit_floats_are_numbers(tmp_path, dtype, codes, values):
    header = {"w": entry(dtype=dtype, shape=[5], data_offsets=[0, 5])}

    file = opened(tmp_path, with_header(header, bytes(codes)))

    np.testing.assert_array_equal(file.read("w"), np.array(values, np.float32))


HOSTILE = {
    "an empty file": (b"", "empty"),
    "four bytes": (bytes(4), "not a safetensors file"),
    "a header longer than the file": (with_header({}, size=2**63), "not a safetensors file"),
    "a header beyond the limit": (with_header({}, bytes(64), size=2**40), "not a safetensors"),
    "no JSON": (with_header(b"{]"), "not valid JSON"),
    "bytes that are no text": (with_header(b"\xff\xff\xff"), "not valid JSON"),
    "a list": (with_header([1]), "not a JSON object"),
    "brackets without end": (with_header(b"[" * 100_000), "not valid JSON"),
    "a number without end": (with_header(b'{"a": ' + b"1" * 10_000 + b"}"), "not valid JSON"),
    "a tensor twice": (
        with_header(b'{"a": %b, "a": %b}' % ((json.dumps(entry()).encode(),) * 2), bytes(8)),
        "appears twice",
    ),
    "an entry that is a number": (with_header({"a": 7}), "not a JSON object"),
    "an unknown type": (with_header({"a": entry(dtype="F13")}, bytes(8)), "unknown type 'F13'"),
    "a type that is a list": (with_header({"a": entry(dtype=["F32"])}, bytes(8)), "unknown type"),
    "a negative size": (with_header({"a": entry(shape=[-2])}, bytes(8)), "shape"),
    "a size that is a float": (with_header({"a": entry(shape=[2.0])}, bytes(8)), "shape"),
    "a size that is a bool": (with_header({"a": entry(shape=[True, 2])}, bytes(8)), "shape"),
    "too many dimensions": (with_header({"a": entry(shape=[1] * 99)}, bytes(4)), "shape"),
    "a product beyond 2**64": (
        with_header({"a": entry(shape=[2**62] * 3)}, bytes(8)),
        "8 bytes for F32",
    ),
    "no offsets": (with_header({"a": entry(data_offsets=None)}, bytes(8)), "data_offsets"),
    "one offset": (with_header({"a": entry(data_offsets=[0])}, bytes(8)), "data_offsets"),
    "offsets that go back": (
        with_header({"a": entry(data_offsets=[8, 0])}, bytes(8)),
        "-8 bytes for F32",
    ),
    "offsets past the end": (
        with_header({"a": entry(shape=[2**40], data_offsets=[0, 2**42])}, bytes(8)),
        "truncated",
    ),
    "a hole": (with_header({"a": entry(data_offsets=[8, 16])}, bytes(16)), "starts at byte"),
    "two in one place": (with_header({"a": entry(), "b": entry()}, bytes(8)), "starts at byte"),
    "bytes left over": (with_header({"a": entry()}, bytes(9)), "the tensors end at byte"),
    "bytes missing": (with_header({"a": entry()}, bytes(7)), "truncated"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path, what):
    content, message = HOSTILE[what]

    with pytest.raises(SourceError, match=message) as caught:
        opened(tmp_path, content)

    assert "model.safetensors" in str(caught.value) and "\n" not in str(caught.value)


def test_a_corrupt_file_raises_nothing_but_edge_errors_and_takes_no_memory(tmp_path):
    good = with_header({"a": entry(), "b": entry(dtype="I8", data_offsets=[8, 10])}, bytes(10))
    generator = random.Random(0)
    tracemalloc.start()
    for _ in range(2000):
        corrupt = bytearray(good)
        corrupt[generator.randrange(len(good))] = generator.randrange(256)
        cut = generator.choice([len(good), generator.randrange(len(good))])
        try:
            file = opened(tmp_path, bytes(corrupt[:cut]))
            for name in file.tensors:
                file.read(name)
        except EdgeError:
            continue
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
