"""Trained and real tokenizers: same ids, offsets and text as the Rust package, streamed as well."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_documents import BYTES, HARD, Pair, added, document, golden_lines, step
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import trainers as train

from edge.exporter.sources.gguf_file import GgufFile
from edge.exporter.sources.gguf_tokenizer import tokenizer_files

LINES = golden_lines()
SPECIAL = ["<unk>", "<s>", "</s>", "[MASK]"]
QUIET: dict[str, Any] = {"show_progress": False, "special_tokens": SPECIAL}
MARK = "▁"
REBUILT = [
    *(
        "SmolLM2-135M-Instruct.Q4_1",
        "ggml-vocab-llama-bpe",
        "ggml-vocab-qwen2",
        "ggml-vocab-qwen35",
    ),
    *("ggml-vocab-llama-spm", "ggml-vocab-phi-3", "ggml-vocab-gemma-4", "ggml-vocab-deepseek-llm"),
    *("ggml-vocab-falcon", "ggml-vocab-gpt-2"),
]


def trained(model: Any, trainer: Any, **parts: Any) -> dict[str, Any]:
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(LINES[::2], trainer)
    document: dict[str, Any] = json.loads(tokenizer.to_str())
    return document


def unigram() -> dict[str, Any]:
    trainer = train.UnigramTrainer(vocab_size=6000, unk_token="<unk>", **QUIET)
    parts = {"normalizer": normalizers.NFKC(), "pre_tokenizer": pre_tokenizers.Metaspace()}
    return trained(models.Unigram(), trainer, decoder=decoders.Metaspace(), **parts)


def unigram_with_bytes() -> dict[str, Any]:
    document = unigram()
    document["model"]["vocab"] += [[token, -20.0] for token in BYTES]
    return document | {"model": document["model"] | {"byte_fallback": True}}


def unigram_of_whole_texts() -> dict[str, Any]:
    """One word a text: ways whose sums are equal but for rounding are common in it."""
    return unigram_with_bytes() | {"normalizer": None, "pre_tokenizer": None}


def wordpiece() -> dict[str, Any]:
    trainer = train.WordPieceTrainer(vocab_size=900, limit_alphabet=300, **QUIET)
    return trained(
        models.WordPiece(unk_token="<unk>"),
        trainer,
        normalizer=normalizers.BertNormalizer(),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )


def byte_level() -> dict[str, Any]:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(
        models.BPE(),
        train.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, **QUIET),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True),
        decoder=decoders.ByteLevel(),
        post_processor=processors.ByteLevel(trim_offsets=True),
    )


def sentencepiece() -> dict[str, Any]:
    trainer = train.BpeTrainer(
        vocab_size=1200, limit_alphabet=60, show_progress=False, special_tokens=SPECIAL + BYTES
    )
    marks = [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]
    back = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    return trained(
        models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        trainer,
        normalizer=normalizers.Sequence(marks),
        decoder=decoders.Sequence([*back, decoders.Strip(" ", 1, 0)]),
    )


def suffixes() -> dict[str, Any]:
    return trained(
        models.BPE(unk_token="<unk>"),
        train.BpeTrainer(vocab_size=1200, end_of_word_suffix="</w>", limit_alphabet=60, **QUIET),
        normalizer=normalizers.Lowercase(),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.BPEDecoder(),
    )


def prefixes() -> dict[str, Any]:
    return trained(
        models.BPE(unk_token="<unk>", fuse_unk=True),
        train.BpeTrainer(
            vocab_size=1200, continuing_subword_prefix="##", limit_alphabet=60, **QUIET
        ),
        pre_tokenizer=pre_tokenizers.Whitespace(),
        decoder=decoders.WordPiece(prefix="##", cleanup=False),
    )


def without_unknown() -> dict[str, Any]:
    """Characters that the vocabulary lacks are left out."""
    trainer = train.BpeTrainer(vocab_size=600, limit_alphabet=40, **QUIET)
    return trained(models.BPE(), trainer, pre_tokenizer=pre_tokenizers.Metaspace())


MADE: list[Callable[[], dict[str, Any]]] = [
    *(unigram, unigram_with_bytes, unigram_of_whole_texts, wordpiece, byte_level, sentencepiece),
    *(suffixes, prefixes, without_unknown),
]


@pytest.fixture(scope="module", params=MADE, ids=lambda make: make.__name__)
def made(request) -> Pair:
    return Pair(json.dumps(request.param()))


@pytest.fixture(scope="module")
def chatty() -> Pair:
    """Byte-level with a chat's special tokens, one of which takes blanks along."""
    document = byte_level()
    document["added_tokens"] += added(1500, "<|user|>", "<|end|>", special=True, rstrip=True)
    return Pair(json.dumps(document))


def test_trained_tokenizers(made):
    for text in [*HARD, *LINES[::2]]:
        made.check(text)


@settings(max_examples=100, deadline=None)
@given(text=st.lists(st.one_of(st.text(max_size=20), st.sampled_from(LINES))).map("".join))
def test_trained_tokenizers_with_any_text(made, text):
    made.check(text)


def test_streams_are_the_same(made):
    rust, python = made.of_edge()
    for text in LINES[::10]:
        ids = rust.encode(text)
        streams = [tokenizer.stream() for tokenizer in (rust, python)]
        for token in ids:
            theirs, ours = (stream.push(token) for stream in streams)
            assert ours == theirs
        assert streams[1].flush() == streams[0].flush()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 1501)))
def test_any_ids_decode_to_the_same_text(chatty, ids):
    rust, python = chatty.of_edge()
    for special in (False, True):
        assert python.decode(ids, special=special) == rust.decode(ids, special=special)
    assert [python.spelling(i) for i in ids] == [rust.spelling(i) for i in ids]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["<|user|>", "<|end|>", "<|", "@", " ", "\n", "Hi", "é你", "|>"])))
def test_a_chat_has_the_same_ids_and_marks(chatty, parts):
    rust, python = chatty.of_edge()
    text = "".join(parts)
    assert python.special == rust.special and len(python.special) == 6
    for special in (False, True):
        assert python.encode(text, special=special) == rust.encode(text, special=special)
    assert python.encode_marked(text, "@") == rust.encode_marked(text, "@")


@pytest.mark.parametrize("name", REBUILT)
def test_tokenizers_rebuilt_from_gguf(test_data, name):
    path: Path = test_data(f"{name}.gguf")
    files = tokenizer_files(GgufFile(path).metadata, name)
    assert files is not None
    pair = Pair(files.json.decode())
    cases = path.with_name(path.name + ".inp")
    hard = cases.read_text().split("\n__ggml_vocab_test__\n") if cases.exists() else []
    for text in [*HARD, *hard, *LINES[::10]]:
        pair.check(text)


def test_a_long_word_takes_no_longer_than_its_length_says():
    """A hundred thousand letters in one word: with a scan for each merge it would take hours."""
    vocab = {"a" * 2**i: i for i in range(8)}
    merges = [["a" * 2**i] * 2 for i in range(7)]
    Pair(document(step("BPE", vocab=vocab, merges=merges))).check("a" * 100_001)


def test_merges_that_lead_to_the_same_token_in_several_ways():
    """An outdated pair in the queue may become the same token as the one that took its place."""
    vocab = {token: i for i, token in enumerate(["a", "b", "c", "ab", "bc", "abc", "cab", "abcab"])}
    merges = [["b", "c"], ["ab", "c"], ["a", "bc"], ["a", "b"], ["c", "ab"], ["abc", "ab"]]
    pair = Pair(document(step("BPE", vocab=vocab, merges=merges)))
    for size in range(1, 5):
        for text in ("abc" * size, "cab" * size, "abcab" * size, "bca" * size):
            pair.check(text)
