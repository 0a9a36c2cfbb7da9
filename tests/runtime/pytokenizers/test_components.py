"""Each component of a tokenizer.json does what it does in the Rust package."""

import base64
import json
import struct
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_documents import HARD, TO_WORDS, Pair, added, document, golden_lines, step

from edge.exporter.sources.pretokenizers import FAMILIES

BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
EITHER = (True, False)
LINES = golden_lines()[::50]


def sequence(members: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", members: list(steps)}


def regex(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    return step("Split", pattern={"Regex": pattern}, behavior=behavior, invert=invert)


def bert(clean: bool, chinese: bool, accents: bool | None, lower: bool) -> dict[str, Any]:
    return step(
        "BertNormalizer",
        clean_text=clean,
        handle_chinese_chars=chinese,
        strip_accents=accents,
        lowercase=lower,
    )


def rules(**replacements: str) -> dict[str, Any]:
    """A Precompiled normalizer for single ASCII characters; the trie has one level."""
    trie, texts = [0] * 1024, b""
    trie[0] = 256 << 10  # children of the root lie at 256 ^ byte
    for i, (char, text) in enumerate(replacements.items()):
        # A leaf lies at its node ^ offset, from 512 on.
        node, leaf = 256 ^ ord(char), 512 + i
        trie[node] = (node ^ leaf) << 10 | 1 << 8 | ord(char)
        trie[leaf] = 1 << 31 | len(texts)
        texts += text.encode() + b"\0"
    packed = struct.pack("<I1024I", 4096, *trie) + texts
    return step("Precompiled", precompiled_charsmap=base64.b64encode(packed).decode())


NORMALIZERS = {
    **{name: step(name) for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt")},
    **{name: step(name) for name in ("StripAccents", "ByteLevel")},
    **{f"bert-{flags}": bert(*flags) for flags in product(EITHER, EITHER, (None, True), EITHER)},
    **{
        f"strip-{left}-{right}": step("Strip", strip_left=left, strip_right=right)
        for left, right in product(EITHER, EITHER)
    },
    "sentencepiece": sequence(
        "normalizers",
        step("Prepend", prepend="▁"),
        step("Replace", pattern={"String": " "}, content="▁"),
    ),
    "spaces": sequence(
        "normalizers",
        step("NFKC"),
        step("Replace", pattern={"Regex": " {2,}"}, content=" "),
        step("Replace", pattern={"Regex": r"[\s\p{L}]x?"}, content=""),
    ),
    "apart-and-together": sequence(
        "normalizers",
        *map(step, ("NFD", "StripAccents", "NFC", "Lowercase", "NFKD")),
    ),
    "precompiled": rules(e="é", a="", x="long text", t="t", **{" ": "\u3000"}),
}
PRE_TOKENIZERS = {
    **{f"digits-{alone}": step("Digits", individual_digits=alone) for alone in EITHER},
    **{f"punctuation-{how}": step("Punctuation", behavior=how) for how in BEHAVIORS},
    **{
        f"split-{how}-{invert}": regex(r"\s+|\p{L}\p{M}*", how, invert)
        for how, invert in product(BEHAVIORS, EITHER)
    },
    **{
        f"blank-{how}": step("Split", pattern={"String": " "}, behavior=how, invert=False)
        for how in BEHAVIORS
    },
    **{name: step(name) for name in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer")},
    "delimiter": step("CharDelimiterSplit", delimiter="a"),
    **{
        f"metaspace-{scheme}-{split}": step(
            "Metaspace", replacement="▁", prepend_scheme=scheme, split=split
        )
        for scheme, split in product(("always", "first", "never"), EITHER)
    },
    "metaspace-old": step("Metaspace", replacement="▁", add_prefix_space=True),
    "metaspace-in-words": sequence(
        "pretokenizers",
        step("WhitespaceSplit"),
        step("Metaspace", replacement="▁", prepend_scheme="first"),
    ),
    **{
        f"bytes-{prefix}-{cut}": step(
            "ByteLevel", add_prefix_space=prefix, trim_offsets=True, use_regex=cut
        )
        for prefix, cut in product(EITHER, EITHER)
    },
    **{
        f"family-{names[0]}": sequence("pretokenizers", *map(regex, pretokenizer.patterns))
        for pretokenizer, names in FAMILIES
    },
}
EXPRESSIONS = [
    *(r"a++b?|[b-d]*+x", r"(?>\s+|a)b", r"(?i:'S|x[yz]|É)", r"(?<=a)b|(?<!\s)c", r"[^\S\n]+"),
    *(r"\P{L}{2,3}", r"[\p{^L}&]+", r"(?:ab|a){1,2}?", r"\x{4e00}|\u4f60|\x41", r"a{,2}b"),
    *(r"{a}|x{}", r".+", r"[\]\-\\a-c]+", r"\d+\Z|\A\s", r"[\W\d]+", r"\w+|\W", r"(\s)\S|é"),
    *(r"\s+$|^\w+|\d\z", r"(?=a)|b", "[가-힣]+|[^\\x{0}-\\x{ffff}]", r"\p{Lu}\p{M}?|[\p{So}-]", ""),
]


def check(**parts: Any) -> None:
    pair = Pair(document(**parts))
    for line in [*HARD, *LINES]:
        pair.check(line)


@pytest.mark.parametrize("normalizer", NORMALIZERS.values(), ids=NORMALIZERS)
def test_normalizers(normalizer):
    check(normalizer=normalizer)


@pytest.mark.parametrize("pre_tokenizer", PRE_TOKENIZERS.values(), ids=PRE_TOKENIZERS)
def test_pre_tokenizers(pre_tokenizer):
    check(pre_tokenizer=pre_tokenizer)
    check(pre_tokenizer=pre_tokenizer, model=TO_WORDS, normalizer=step("NFKD"))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression):
    check(pre_tokenizer=regex(expression), model=TO_WORDS)


@pytest.mark.parametrize("flags", list(product(EITHER, repeat=5)), ids=str)
def test_added_tokens(flags):
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    contents = ("<s>", "</s>", "[DAY]", "day", "<|x|>", "<|xy|>", " ", "a")
    tokens = added(500, *contents, **dict(zip(names, flags, strict=True)))
    metaspace = step("Metaspace", replacement="▁", prepend_scheme="first")
    for normalizer in (None, step("Lowercase"), step("Prepend", prepend="▁")):
        check(added_tokens=tokens, normalizer=normalizer, pre_tokenizer=metaspace)


BYTE_LEVEL = step("ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True)
ENDS = {"sep": ["</s>", 2], "cls": ["<s>", 0]}
DECODERS = {
    "bytes": BYTE_LEVEL,
    "wordpiece": step("WordPiece", prefix="<0x", cleanup=True),
    "suffix": step("BPEDecoder", suffix="1>"),
    **{
        f"metaspace-{scheme}": step("Metaspace", replacement="0", prepend_scheme=scheme)
        for scheme in ("always", "never")
    },
    "sentencepiece": sequence(
        "decoders",
        step("Replace", pattern={"String": "▁"}, content=" "),
        step("ByteFallback"),
        step("Fuse"),
        step("Strip", content=" ", start=1, stop=0),
    ),
    "regex": step("Replace", pattern={"Regex": r"0x|\d"}, content="_"),
}


@pytest.mark.parametrize("decoder", [None, *DECODERS.values()], ids=["none", *DECODERS])
def test_decoders(decoder):
    check(decoder=decoder, added_tokens=added(256, "<|x|>", "</s>", special=True))


PROCESSORS = {
    "bytes": BYTE_LEVEL,
    "bytes-without-prefix": BYTE_LEVEL | {"add_prefix_space": False},
    "roberta": step("RobertaProcessing", trim_offsets=True, add_prefix_space=False, **ENDS),
    "bert": step("BertProcessing", **ENDS),
    "template": step(
        "TemplateProcessing",
        single=[{"Sequence": {"id": "A", "type_id": 0}}],
        pair=[{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        special_tokens={},
    ),
}
PROCESSORS["sequence"] = sequence("processors", PROCESSORS["template"], PROCESSORS["bytes"])


@pytest.mark.parametrize("post_processor", PROCESSORS.values(), ids=PROCESSORS)
@pytest.mark.parametrize("prefix", EITHER)
def test_offsets_after_processing(post_processor, prefix):
    letters = [chr(code) for code in range(0x21, 0x180)]
    vocab = {token: i for i, token in enumerate([*letters, "ĠĠ", "ĠĠĠ", "Ġa", "aĠ"])}
    merges = [["Ġ", "Ġ"], ["ĠĠ", "Ġ"], ["Ġ", "a"], ["a", "Ġ"]]
    cut = step("ByteLevel", add_prefix_space=prefix, trim_offsets=True, use_regex=False)
    model = step("BPE", vocab=vocab, merges=merges)
    check(model=model, pre_tokenizer=cut, post_processor=post_processor, decoder=cut)


WHOLE = [
    Pair(document(normalizer=NORMALIZERS[n], pre_tokenizer=PRE_TOKENIZERS[p], added_tokens=tokens))
    for n, p in (
        ("NFC", "family-llama-bpe"),
        ("NFKD", "bytes-True-True"),
        ("precompiled", "metaspace-first-True"),
        ("bert-(True, True, None, True)", "BertPreTokenizer"),
        ("apart-and-together", "family-qwen35"),
    )
    for tokens in [added(256, "<|x|>", "ab", " ", lstrip=True, special=True)]
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.text(), st.sampled_from([*HARD, "<|x|>", "  ", "ab"]))).map("".join))
def test_any_text(text):
    for pair in WHOLE:
        pair.check(text)


@pytest.mark.parametrize("pair", WHOLE, ids=range(len(WHOLE)))
def test_every_letter_and_sign_below_u3100(pair):
    for first in range(0, 0x3100, 64):
        pair.check("".join(map(chr, range(first, first + 64))))


def test_json_of_both_merges_forms_is_read_alike():
    model: dict[str, Any] = step("BPE", vocab={"a": 0, "b": 1, "ab": 2, "aba": 3})
    texts, pairs = ["#version: 0.2", "a b", "ab a"], [["a", "b"], ["ab", "a"]]
    for merges in (texts, pairs):
        pair = Pair(document(model | {"merges": merges}))
        pair.check("abaabab")
        assert pair.python.encode("aba").ids == [3]
    without_type = json.loads(document(model | {"merges": texts}))
    del without_type["model"]["type"]
    Pair(json.dumps(without_type)).check("abaabab")
