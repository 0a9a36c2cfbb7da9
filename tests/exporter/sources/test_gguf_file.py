"""The GGUF container: what a good file holds, and what a hostile one gets."""

import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EdgeError, SourceError, UnsupportedModel
from edge.exporter.sources.gguf import GgufSource
from edge.exporter.sources.gguf_file import GgufFile

STRING, ARRAY, UINT32 = 8, 9, 4
F32, Q8_0 = 0, 8


def string(text: str | bytes) -> bytes:
    encoded = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(encoded)) + encoded


def key(name: str, kind: int, value: bytes) -> bytes:
    return string(name) + struct.pack("<I", kind) + value


def tensor(name: str, dims: list[int], kind: int = F32, offset: int = 0) -> bytes:
    shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return string(name) + shape + struct.pack("<IQ", kind, offset)


def gguf(
    keys: list[bytes],
    tensors: list[bytes],
    data: bytes = b"",
    counts: tuple[int, int] | None = None,
) -> bytes:
    tensor_count, key_count = counts or (len(tensors), len(keys))
    head = struct.pack("<4sIQQ", b"GGUF", 3, tensor_count, key_count)
    head += b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


def opened(tmp_path: Path, content: bytes) -> GgufFile:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    return GgufFile(path)


def test_keys_and_tensors_are_read_as_written(tmp_path, write_gguf):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = write_gguf(
        "llama",
        {"a.text": "ß", "a.flag": True, "a.list": ["x", "", "日本"], "a.numbers": [1, 2, 3]},
        {"w": (values, "F32")},
    )

    file = GgufFile(path)

    assert file.metadata["a.text"] == "ß"
    assert file.metadata["a.flag"] is True
    assert file.metadata["a.list"] == ["x", "", "日本"]
    assert file.metadata["a.numbers"].tolist() == [1, 2, 3]
    assert file.metadata["llama.attention.layer_norm_rms_epsilon"] == 1e-5
    assert file.tensors["w"].shape == (3, 4)
    assert (file.bytes_of(file.tensors["w"]).view(np.float32) == values.reshape(-1)).all()


HOSTILE = {
    "an empty file": (b"", "empty"),
    "two bytes": (b"GG", "the header needs"),
    "another format": (b"PK\3\4" + bytes(60), "expected magic"),
    "a later version": (struct.pack("<4sIQQ", b"GGUF", 99, 0, 0), "version 99"),
    "big-endian": (struct.pack("<4sIQQ", b"GGUF", 3 << 24, 0, 0), "big-endian"),
    "tensors without end": (gguf([], [], counts=(2**63, 0)), "cannot fit"),
    "keys without end": (gguf([], [], counts=(0, 2**63)), "cannot fit"),
    "a huge text": (gguf([key("k", STRING, struct.pack("<Q", 2**62))], []), "needs"),
    "a huge name": (gguf([struct.pack("<QQ", 2**62, 0)], [], counts=(0, 1)), "at most"),
    "strings without end": (
        gguf([key("k", ARRAY, struct.pack("<IQ", STRING, 2**60))], []),
        "strings in the",
    ),
    "numbers without end": (
        gguf([key("k", ARRAY, struct.pack("<IQ", UINT32, 2**61))], []),
        "needs",
    ),
    "nested arrays": (
        gguf([key("k", ARRAY, struct.pack("<IQ", ARRAY, 1) * 9)], []),
        "array of arrays",
    ),
    "an unknown kind of value": (gguf([key("k", 77, bytes(8))], []), "value type 77"),
    "a key twice": (gguf([key("k", UINT32, bytes(4))] * 2, []), "appears twice"),
    "text that is none": (gguf([key("k", STRING, string(b"\xff\xfe"))], []), "not UTF-8"),
    "no alignment": (gguf([key("general.alignment", UINT32, bytes(4))], []), "alignment"),
    "a part of a model": (
        gguf([key("split.count", UINT32, struct.pack("<I", 3))], []),
        "one of 3 parts",
    ),
    "no dimensions": (gguf([], [tensor("t", [])]), "dimensions, found 0"),
    "five dimensions": (gguf([], [tensor("t", [1] * 5)]), "dimensions, found 5"),
    "no elements": (gguf([], [tensor("t", [0, 4])], bytes(64)), "no elements"),
    "a product of 2**64": (gguf([], [tensor("t", [2**32] * 2)], bytes(64)), "the file has"),
    "a product beyond 2**64": (gguf([], [tensor("t", [2**63] * 3)], bytes(64)), "the file has"),
    "half a block": (gguf([], [tensor("t", [33], Q8_0)], bytes(64)), "whole blocks"),
    "an odd offset": (gguf([], [tensor("t", [8], offset=4)], bytes(64)), "multiple of 32"),
    "an offset past the end": (
        gguf([], [tensor("t", [8], offset=2**40)], bytes(64)),
        "the file has",
    ),
    "an offset that wraps": (
        gguf([], [tensor("t", [8], offset=2**64 - 32)], bytes(64)),
        "the file has",
    ),
    "an unknown type": (gguf([], [tensor("t", [8], kind=1234)], bytes(64)), "number 1234"),
    "a tensor twice": (gguf([], [tensor("t", [8])] * 2, bytes(64)), "'t' appears twice"),
    "two in one place": (
        gguf([], [tensor("t", [8]), tensor("u", [8])], bytes(64)),
        "'t' and 'u' overlap",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path, what):
    content, message = HOSTILE[what]

    with pytest.raises((SourceError, UnsupportedModel), match=message) as caught:
        opened(tmp_path, content)

    assert "model.gguf" in str(caught.value) and "\n" not in str(caught.value)


def tiny_model(write_gguf) -> bytes:
    """A whole model of every part: tokenizer, 1-D and quantized tensors, reordered rows."""
    rng = np.random.default_rng(0)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "a", "▁a"]
    floats = {
        "token_embd.weight": (rng.normal(size=(262, 64)).astype(np.float32), "F32"),
        "output_norm.weight": (np.ones(64, np.float32), "F32"),
        "blk.0.attn_q.bias": (np.ones(64, np.float32), "F32"),
    }
    blocks = rng.integers(0, 64, (64, 36), np.uint8)
    path = write_gguf(
        "llama",
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.scores": [0.0] * 260 + [-1.0, -2.0],
            "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 3,
        },
        floats | {"blk.0.attn_q.weight": (blocks, "Q4_0")},
    )
    return path.read_bytes()


def use(path: Path) -> None:
    """Everything an export does with a source."""
    source = GgufSource(path)
    for name in source.names():
        source.shape(name)
        source.read(name)
        source.kept(name)
    source.tokenizer()


def test_the_tiny_model_is_whole(tmp_path, write_gguf):
    path = tmp_path / "whole.gguf"
    path.write_bytes(tiny_model(write_gguf))

    use(path)


def test_a_file_cut_anywhere_is_refused(tmp_path, write_gguf):
    content = tiny_model(write_gguf)
    path = tmp_path / "cut.gguf"
    for size in [*range(0, 600, 7), *range(600, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(EdgeError):
            use(path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers that became infinite
def test_a_corrupt_file_raises_nothing_but_edge_errors_and_takes_no_memory(tmp_path, write_gguf):
    content = tiny_model(write_gguf)
    path = tmp_path / "corrupt.gguf"
    rng = random.Random(0)
    tracemalloc.start()
    for _ in range(600):
        corrupt = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(content) if rng.random() < 0.1 else 9000)
            corrupt[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        path.write_bytes(corrupt)
        try:
            use(path)
        except EdgeError:
            continue
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * len(content)
