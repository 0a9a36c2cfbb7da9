"""llama2.c files: their tensors, their vocabulary, and the stories they tell."""

import random
import struct
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from edge.errors import EdgeError, SourceError, UnsupportedModel
from edge.exporter.sources import Source, open_source
from edge.exporter.sources.llama2c import Llama2cSource
from edge.exporter.sources.llama2c_tokenizer import tokenizer_files
from edge.format.formats import WeightFormat

DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCABULARY, CONTEXT = 8, 12, 2, 2, 1, 5, 16
SIZES = (DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCABULARY, CONTEXT)
SHAPES = {"wq": (8, 8), "wk": (4, 8), "wv": (4, 8), "wo": (8, 8)}
SHAPES |= {"w1": (12, 8), "w2": (8, 12), "w3": (12, 8)}
rng = np.random.default_rng(0)


def adjacent_pairs(rows: np.ndarray, heads: int) -> np.ndarray:
    """The order llama2.c stores: pair j of a head at rows 2j and 2j + 1."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def floats(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    """Of a version 0 file, stacked over the layers, queries and keys in half-split order."""
    stacked = {name: floats(LAYERS, *shape) for name, shape in SHAPES.items()}
    stacked |= {"attention_norm": floats(LAYERS, DIM), "ffn_norm": floats(LAYERS, DIM)}
    return stacked | {"norm": floats(DIM), "embedding": floats(VOCABULARY, DIM)}


def version_0(w: dict[str, np.ndarray], output: np.ndarray | None = None) -> bytes:
    sizes = list(SIZES)
    sizes[5] *= 1 if output is None else -1
    parts = [w["embedding"], w["attention_norm"]]
    parts += [np.stack([adjacent_pairs(m, HEADS) for m in w["wq"]])]
    parts += [np.stack([adjacent_pairs(m, KV_HEADS) for m in w["wk"]])]
    parts += [w["wv"], w["wo"], w["ffn_norm"], w["w1"], w["w2"], w["w3"], w["norm"]]
    parts += [floats(CONTEXT, DIM // HEADS)] + ([] if output is None else [output])
    return struct.pack("<7i", *sizes) + b"".join(part.tobytes() for part in parts)


def bitllama(trits: dict[str, np.ndarray], w: dict[str, np.ndarray], scale: float) -> bytes:
    head = struct.pack("<4si7i?", b"24ka", 1, *SIZES, True).ljust(256, b"\0")
    content = head + w["norm"].tobytes() + w["embedding"].tobytes()
    for name, heads in (("wq", HEADS), ("wk", KV_HEADS)):
        trits = trits | {name: np.stack([adjacent_pairs(m, heads) for m in trits[name]])}
    for name in SHAPES:
        for matrix in trits[name]:
            bits = np.array([3, 0, 1], np.uint8)[matrix + 1].reshape(-1, 4)
            packed = bits[:, 0] << 6 | bits[:, 1] << 4 | bits[:, 2] << 2 | bits[:, 3]
            content += struct.pack("<f", scale) + packed.tobytes()
    return content


def opened(tmp_path: Path, content: bytes) -> Llama2cSource:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    return Llama2cSource(path)


NAMES = {
    "attention_norm": "input_layernorm",
    "wq": "self_attn.q_proj",
    "wk": "self_attn.k_proj",
    "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "w1": "mlp.gate_proj",
    "w2": "mlp.down_proj",
    "w3": "mlp.up_proj",
}


def test_version_0_is_a_llama(tmp_path, weights):
    source = opened(tmp_path, version_0(weights))

    assert source.config["model_type"] == "llama" and source.config["tie_word_embeddings"] is True
    assert (source.read("model.embed_tokens.weight") == weights["embedding"]).all()
    assert (source.read("model.norm.weight") == weights["norm"]).all()
    for ours, theirs in NAMES.items():
        for layer in range(LAYERS):
            name = f"model.layers.{layer}.{theirs}.weight"
            assert source.shape(name) == weights[ours][layer].shape
            assert (source.read(name) == weights[ours][layer]).all()
            assert source.kept(name) is None
    assert len(list(source.names())) == 2 + LAYERS * len(NAMES)


def test_version_0_may_have_an_output_matrix(tmp_path, weights):
    output = floats(VOCABULARY, DIM)

    source = opened(tmp_path, version_0(weights, output))

    assert source.config["tie_word_embeddings"] is False
    assert (source.read("lm_head.weight") == output).all()


def test_bitllama_is_ternary_with_norms_made_of_constants(tmp_path, weights):
    trits = {name: rng.integers(-1, 2, (LAYERS, *shape)) for name, shape in SHAPES.items()}

    source = opened(tmp_path, bitllama(trits, weights, 0.25))

    assert source.config["model_type"] == "bitnet" and source.config["hidden_act"] == "silu"
    for ours in SHAPES:
        name = f"model.layers.1.{NAMES[ours]}.weight"
        kept = source.kept(name)
        assert kept is not None and kept.format == WeightFormat("ternary")
        assert (kept.codes == trits[ours][1] + 1).all() and (kept.scales == 0.25).all()
        assert (source.read(name) == trits[ours][1] * np.float32(0.25)).all()
    for norm, width in {"self_attn.attn_sub_norm": DIM, "mlp.ffn_sub_norm": HIDDEN}.items():
        name = f"model.layers.0.{norm}.weight"
        assert source.kept(name) is None
        assert (source.read(name) == np.full(width, 1 / width, np.float32)).all()


def test_a_fourth_code_is_refused(tmp_path, weights):
    trits = {name: np.ones((LAYERS, *shape), int) for name, shape in SHAPES.items()}
    content = bitllama(trits, weights, 0.25)

    source = opened(tmp_path, content[:-1] + b"\x80")

    with pytest.raises(SourceError, match="code 10"):
        source.read("model.layers.1.mlp.up_proj.weight")


def test_a_later_version_is_named(tmp_path):
    with pytest.raises(UnsupportedModel, match="llama2.c format 2"):
        opened(tmp_path, struct.pack("<4si", b"24ka", 2).ljust(256, b"\0"))


@pytest.mark.parametrize(
    "sizes, message",
    [
        ((0,) * 7, "header reads"),
        ((8, 12, 2**31 - 1, 2, 1, 5, 16), "header reads"),
        ((8, 12, -1, 2, 1, 5, 16), "header reads"),
        ((8, 12, 2, 3, 1, 5, 16), "header reads"),
        ((8, 12, 2, 2, 3, 5, 16), "header reads"),
        ((2**30, 2**31 - 1, 1024, 2, 1, 2**31 - 1, 2**31 - 1), "expected .* bytes, found 28"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(tmp_path, sizes, message):
    with pytest.raises(SourceError, match=message):
        opened(tmp_path, struct.pack("<7i", *sizes))


def test_a_file_cut_anywhere_is_refused(tmp_path, weights):
    trits = {name: np.ones((LAYERS, *shape), int) for name, shape in SHAPES.items()}
    for content in (version_0(weights), bitllama(trits, weights, 1.0)):
        for size in [*range(0, 300, 3), len(content) - 4, len(content) - 1]:
            with pytest.raises(SourceError):
                opened(tmp_path, content[:size])


def test_a_corrupt_file_raises_nothing_but_edge_errors_and_takes_no_memory(tmp_path, weights):
    trits = {name: np.ones((LAYERS, *shape), int) for name, shape in SHAPES.items()}
    good = bitllama(trits, weights, 1.0)
    generator = random.Random(0)
    tracemalloc.start()
    for _ in range(500):
        corrupt = bytearray(good)
        corrupt[generator.randrange(48)] = generator.randrange(256)
        try:
            source = opened(tmp_path, bytes(corrupt))
            for name in source.names():
                source.read(name)
        except EdgeError:
            continue
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def vocabulary(tokens: list[tuple[float, bytes]]) -> bytes:
    entries = [struct.pack("<fi", score, len(text)) + text for score, text in tokens]
    return struct.pack("<i", 7) + b"".join(entries)


SPECIAL = [(0.0, b"<unk>"), (0.0, b"\n<s>\n"), (0.0, b"\n</s>\n")]


def test_the_vocabulary_lies_beside_the_model(tmp_path, weights):
    source = opened(tmp_path, version_0(weights))
    assert source.tokenizer() is None

    (tmp_path / "tokenizer.bin").write_bytes(vocabulary([*SPECIAL, (-1, b" "), (-2, b"a")]))

    files = source.tokenizer()
    assert files is not None and (files.bos, files.eos, files.add_bos) == (1, (1, 2), True)
    tokenizer = Tokenizer.from_buffer(files.json)
    assert tokenizer.encode("a<s> a").ids == [3, 4, 1, 3, 3, 4]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "empty"),
        (bytes(20), "cannot fit"),
        (vocabulary([*SPECIAL, (0, b"a")]), "truncated"),
        (vocabulary([*SPECIAL, (0, b"a"), (0, b"b")]) + b"x", "expected .* bytes"),
        (vocabulary([*SPECIAL, (0, b"\xff"), (0, b"b")]), "token 3 is not UTF-8"),
        (vocabulary([*SPECIAL, (0, b"a"), (0, b"a")]), "'a' appears twice"),
        (struct.pack("<i", 7) + struct.pack("<fi", 0, 2**31 - 1) * 9, "has the length"),
        (struct.pack("<i", 7) + struct.pack("<fi", 0, -8) * 9, "has the length"),
    ],
)
def test_a_broken_vocabulary_is_refused(tmp_path, content, message):
    path = tmp_path / "tok5.bin"
    path.write_bytes(content)

    with pytest.raises(SourceError, match=message):
        tokenizer_files(path, 5)


def run_c_ids(tokens: list[str], scores: list[float], text: str) -> list[int]:
    """llama2.c's encode() (run.c): bytes where a character is no token, best pair first."""
    ids_of = {token: i for i, token in enumerate(tokens)}
    ids = [ids_of[" "]]
    for character in text:
        fallback = [3 + byte for byte in character.encode()]
        ids += [ids_of[character]] if character in ids_of else fallback
    while True:
        pairs = [(tokens[a] + tokens[b], i) for i, (a, b) in enumerate(pairwise(ids))]
        found = [(scores[ids_of[pair]], -i) for pair, i in pairs if pair in ids_of]
        if not found:
            return ids
        i = -max(found)[1]
        ids[i : i + 2] = [ids_of[tokens[ids[i]] + tokens[ids[i + 1]]]]


def test_tok512_has_the_ids_of_run_c(test_data):
    path = test_data("stories260K/tok512.bin")
    data, tokens, scores, at = path.read_bytes(), [], [], 4
    while at < len(data):
        score, size = struct.unpack_from("<fi", data, at)
        scores.append(score)
        tokens.append(data[at + 8 : at + 8 + size].decode())
        at += 8 + size
    tokenizer = Tokenizer.from_buffer(tokenizer_files(path, len(tokens)).json)
    texts = [
        "Once upon a time, there was a little girl named Lily.",
        "  two  blanks\nand a line, naïve café — 東京 🦙!",
        "xyzzy 12345 ...???   ",
    ]

    for text in texts:
        ids = tokenizer.encode(text).ids
        assert ids == run_c_ids(tokens, scores, text)
        assert tokenizer.decode(ids) == text


def told(source: Source, prompt: str, tokens: int) -> str:
    """The greedy continuation by a plain float64 decoder, half-split RoPE."""
    files = source.tokenizer()
    assert files is not None and files.bos is not None
    tokenizer = Tokenizer.from_buffer(files.json)
    ids = [files.bos, *tokenizer.encode(prompt).ids]
    w = {name: source.read(name).astype(np.float64) for name in source.names()}
    for _ in range(tokens):
        ids.append(int(logits(source.config, w, ids).argmax()))
    text: str = tokenizer.decode(ids)
    return text


def logits(c: dict, w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    ternary = c["model_type"] == "bitnet"
    heads, kv_heads, head_dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        if ternary:  # int8 activations, a scale a token
            scale = np.abs(x).max(-1, keepdims=True) / 127
            x = np.round(x / scale) * scale
        return x @ w[name + ".weight"].T

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        if name + ".weight" not in w:
            return x
        return (
            x / np.sqrt((x * x).mean(-1, keepdims=True) + c["rms_norm_eps"]) * w[name + ".weight"]
        )

    def rope(x: np.ndarray) -> np.ndarray:
        frequencies = c["rope_theta"] ** (-np.arange(0, head_dim, 2) / head_dim)
        angles = np.arange(len(ids))[:, None, None] * frequencies
        a, b = np.split(x, 2, axis=-1)
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    x = w["model.embed_tokens.weight"][ids]
    mask = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        h = norm(x, p + "input_layernorm")
        q = rope(linear(h, p + "self_attn.q_proj").reshape(len(ids), heads, head_dim))
        k = rope(linear(h, p + "self_attn.k_proj").reshape(len(ids), kv_heads, head_dim))
        v = linear(h, p + "self_attn.v_proj").reshape(len(ids), kv_heads, head_dim)
        k, v = (np.repeat(t, heads // kv_heads, axis=1) for t in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(head_dim) + mask
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        attended = np.einsum("hij,jhd->ihd", scores / scores.sum(-1, keepdims=True), v)
        attended = norm(attended.reshape(len(ids), -1), p + "self_attn.attn_sub_norm")
        x = x + linear(attended, p + "self_attn.o_proj")
        h = norm(x, p + "post_attention_layernorm")
        gate = linear(h, p + "mlp.gate_proj")
        h = gate / (1 + np.exp(-gate)) * linear(h, p + "mlp.up_proj")
        x = x + linear(norm(h, p + "mlp.ffn_sub_norm"), p + "mlp.down_proj")
    last: np.ndarray = norm(x[-1:], "model.norm") @ w["model.embed_tokens.weight"].T
    return last[0]


def test_stories260k_tells_its_story(test_data):
    source = open_source(test_data("stories260K/stories260K.bin"))

    assert told(source, "Once upon a time", 60).startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
        "park. One day, she saw a big, red ball."
    )


def test_bitllama_tells_its_story(test_data):
    test_data("stories260K/tok512.bin")
    source = open_source(test_data("bitllama/bit_1M.bin"))

    assert told(source, "Once upon a time", 40).startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play with her toys"
    )
