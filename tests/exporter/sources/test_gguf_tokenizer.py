"""Tokenizers rebuilt from GGUF metadata give llama.cpp's ids."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from edge.errors import SourceError, UnsupportedModel
from edge.exporter.sources import TokenizerFiles, open_source
from edge.exporter.sources.gguf_file import GgufFile
from edge.exporter.sources.gguf_tokenizer import generation_of, tokenizer_files
from edge.exporter.sources.pretokenizers import FAMILIES, PRETOKENIZERS

GOLDEN = Path(__file__).parents[2] / "golden"
BYTES = [f"<0x{i:02X}>" for i in range(256)]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6

# The vocabularies llama.cpp ships with expected ids; what they end an answer with.
WITH_EXPECTED_IDS = {
    "command-r": (255001,),
    "deepseek-coder": (32014,),
    "deepseek-llm": (100001,),
    "falcon": (11,),
    "gemma-4": (1,),
    "gpt-2": (50256,),
    "llama-bpe": (128001, 128009),
    "llama-spm": (2,),
    "mpt": (0,),
    "phi-3": (32000, 32007),
    "qwen2": (151643, 151645),
    "qwen35": (151643, 151645),
    "refact": (0,),
    "starcoder": (0,),
}
UNSUPPORTED = {
    "bert-bge": "tokenizer.ggml.model 'bert'",
    "nomic-bert-moe": "tokenizer.ggml.model 't5'",
    "gpt-neox": "names no pre-tokenizer",
    "aquila": "names no pre-tokenizer",
}


def rebuilt(metadata: Mapping[str, Any]) -> TokenizerFiles:
    files = tokenizer_files(metadata, "test")
    assert files is not None
    return files


def files_of(path: Path) -> TokenizerFiles:
    return rebuilt(GgufFile(path).metadata)


def ids_of(files: TokenizerFiles, text: str) -> list[int]:
    ids: list[int] = loaded(files).encode(text, add_special_tokens=False).ids
    return ids


def loaded(files: TokenizerFiles) -> Tokenizer:
    return Tokenizer.from_buffer(files.json)


@pytest.mark.parametrize("name", WITH_EXPECTED_IDS)
def test_the_hard_cases_of_llama_cpp_have_its_ids(test_data, name):
    path = test_data(f"ggml-vocab-{name}.gguf")
    cases = path.with_name(path.name + ".inp").read_bytes().decode()
    expected = path.with_name(path.name + ".out").read_text().splitlines()
    files = files_of(path)
    tokenizer = loaded(files)

    separator = "\n__ggml_vocab_test__\n"
    texts = cases.removesuffix(separator).split(separator)
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]

    assert len(ids) >= 46
    assert ids == [[int(i) for i in line.split()] for line in expected]
    assert files.eos == WITH_EXPECTED_IDS[name]


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_vocabulary_that_edge_cannot_rebuild_is_named(test_data, name):
    with pytest.raises(UnsupportedModel, match=UNSUPPORTED[name]):
        files_of(test_data(f"ggml-vocab-{name}.gguf"))


def test_smollm2_has_llama_cpp_s_ids_for_mixed_text_and_decodes_them(test_data):
    files = open_source(test_data("SmolLM2-135M-Instruct.Q4_1.gguf")).tokenizer()
    golden = json.loads(gzip.decompress((GOLDEN / "tokenizer_smollm2.json.gz").read_bytes()))
    assert files is not None and len(golden["lines"]) == 1000
    tokenizer = loaded(files)

    for line, ids in zip(golden["lines"], golden["ids"], strict=True):
        assert tokenizer.encode(line, add_special_tokens=False).ids == ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == line

    assert (files.bos, files.eos, files.add_bos) == (1, (2, 0), False)
    assert files.chat_template is not None and "<|im_start|>" in files.chat_template


def test_every_name_of_a_pre_tokenizer_is_there_once():
    assert len(PRETOKENIZERS) == sum(len(names) for _, names in FAMILIES)


def byte_letters() -> list[str]:
    """GPT-2's letters for the 256 bytes, as `tokenizers` has them."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def byte_level(**extra) -> dict:
    """A vocabulary of bytes, 'he', 'll', 'hell' and a control token."""
    tokens = [*byte_letters(), "he", "ll", "hell", "<|im_end|>"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": np.array([NORMAL] * 259 + [CONTROL]),
        "tokenizer.ggml.merges": ["h e", "l l"],
        "tokenizer.ggml.eos_token_id": 0,
    } | {f"tokenizer.ggml.{name}": value for name, value in extra.items()}


@pytest.mark.parametrize("pre", PRETOKENIZERS)
def test_every_pre_tokenizer_builds_and_loses_no_character(pre):
    tokenizer = loaded(rebuilt(byte_level(pre=pre)))
    text = "It's 12345 déjà-vu…\r\n\t  東京 abcDEF <|im_end|>  \n"

    ids = tokenizer.encode(text, add_special_tokens=False).ids

    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_words_are_merged_and_end_tokens_found():
    files = rebuilt(byte_level())

    assert ids_of(files, "hell<|im_end|>") == [256, 257, 259]
    assert files.eos == (0, 259) and files.bos is None and files.add_bos is False


def test_a_word_that_is_a_token_ignores_the_merges_where_llama_3_does():
    assert ids_of(rebuilt(byte_level(pre="llama-bpe")), "hell") == [258]


def test_merges_of_what_is_no_token_are_left_out():
    files = rebuilt(byte_level(merges=["h e", "l l", "e l", "x yz"]))

    assert ids_of(files, "hell") == [256, 257]


def sentencepiece(**extra) -> dict:
    """<unk> <s> </s>, the bytes, and pieces of which 'ab' is better than 'bc'."""
    pieces = ["\u2581", "a", "b", "c", "ab", "bc", "\u2581ab", "<user>", "\u2581" * 2]
    scores = [-10.0, -11.0, -12.0, -13.0, -1.0, -2.0, -3.0, 0.0, -4.0]
    kinds = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * 7 + [USER_DEFINED, NORMAL]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", *BYTES, *pieces],
        "tokenizer.ggml.scores": np.array([0.0] * 259 + scores, np.float32),
        "tokenizer.ggml.token_type": np.array(kinds),
    } | {f"tokenizer.ggml.{name}": value for name, value in extra.items()}


SPACE, A, B, C, AB, BC, SPACE_AB, USER, SPACES = range(259, 268)


@pytest.mark.parametrize(
    "text, ids",
    [
        ("", []),
        ("abc", [SPACE_AB, C]),
        ("bc", [SPACE, BC]),
        (" ab", [SPACE, SPACE_AB]),
        ("aé", [SPACE, A, 3 + 0xC3, 3 + 0xA9]),
        ("a<user>ab", [SPACE, A, USER, SPACE_AB]),
        ("<s>ab", [1, SPACE_AB]),
        ("<0x41>", [SPACE, *(3 + b for b in b"<0x41>")]),
    ],
)
def test_sentencepiece_merges_by_score_and_falls_back_to_bytes(text, ids):
    files = rebuilt(sentencepiece())

    assert ids_of(files, text) == ids
    assert (files.bos, files.eos, files.add_bos) == (1, (2,), True)


def test_sentencepiece_decoding_drops_the_space_it_added():
    tokenizer = loaded(rebuilt(sentencepiece()))

    assert tokenizer.decode([SPACE_AB, SPACE, C, 3 + 0xC3, 3 + 0xA9]) == "ab cé"


def test_gemma_adds_no_space():
    files = rebuilt(sentencepiece(add_space_prefix=False))

    assert ids_of(files, "ab ab") == [AB, SPACE_AB]
    assert loaded(files).decode([SPACE_AB]) == " ab"


def test_equal_scores_grow_runs_of_blanks_from_the_left():
    metadata = sentencepiece(add_space_prefix=False)
    metadata["tokenizer.ggml.tokens"].append("\u2581" * 3)
    for name, value in (("scores", -4.0), ("token_type", NORMAL)):
        key = f"tokenizer.ggml.{name}"
        metadata[key] = np.append(metadata[key], value)

    assert ids_of(rebuilt(metadata), " " * 5) == [268, SPACES]


def test_phi_3_s_special_tokens_swallow_blanks():
    files = rebuilt(sentencepiece() | {"general.name": "Phi-3 mini"})

    assert ids_of(files, "<user>   ab") == [USER, SPACE_AB]
    assert ids_of(files, "<s>  ab") != [1, SPACE_AB]


def test_the_file_may_turn_the_first_token_off():
    assert rebuilt(sentencepiece(add_bos_token=False)).add_bos is False


def test_the_sampling_defaults_of_new_files_are_read():
    found = generation_of({"general.sampling.temp": 0.6, "general.sampling.top_k": 20})

    assert (found.temperature, found.top_k, found.top_p) == (0.6, 20, None)


@pytest.mark.parametrize("metadata", [{}, {"tokenizer.ggml.model": "no_vocab"}])
def test_a_file_without_a_vocabulary_has_no_tokenizer(metadata):
    assert tokenizer_files(metadata, "test") is None


@pytest.mark.parametrize(
    "metadata, message",
    [
        (byte_level(pre=7), "tokenizer.ggml.pre: expected text"),
        ({"tokenizer.ggml.model": "gpt2"}, "tokenizer.ggml.tokens: expected strings"),
        (byte_level(merges=["h e", "hell"]), "'hell' is not a pair"),
        (byte_level(merges=np.zeros(3)), "merges: expected strings"),
        (byte_level(token_type=np.zeros(3)), "token_type does not have one entry a token"),
        (byte_level(tokens=["a", "a"], token_type=np.ones(2)), "'a' appears twice"),
        (byte_level(tokens=["a" * 5000], token_type=np.ones(1)), "longer than 4096"),
        (sentencepiece(scores=np.zeros(3)), "scores does not have one entry a token"),
        (sentencepiece(add_bos_token=np.zeros(3)), "expected a bool"),
    ],
)
def test_a_broken_vocabulary_is_refused(metadata, message):
    with pytest.raises(SourceError, match=message):
        tokenizer_files(metadata, "test")


def test_an_unknown_pre_tokenizer_is_named_with_the_known_ones():
    with pytest.raises(UnsupportedModel, match="'kimi-k2'.*smollm"):
        tokenizer_files(byte_level(pre="kimi-k2"), "test")
