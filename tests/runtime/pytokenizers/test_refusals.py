"""What the Python package does not know, or cannot trust, it refuses by name."""

import json
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_documents import TO_BYTES, added, document, step
from tokenizers import Tokenizer as Rust

from edge.errors import FormatError
from edge.runtime.pytokenizers import Tokenizer, classes
from edge.runtime.pytokenizers.expressions import translated
from edge.runtime.pytokenizers.scores import parse_score


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = step("NFC")
    for _ in range(depth):
        inner = step("Sequence", normalizers=[inner])
    return inner


def split(pattern: str) -> dict[str, Any]:
    return step("Split", pattern={"Regex": pattern}, behavior="Isolated", invert=False)


VOCAB = {"a": 0, "b": 1}
REFUSED = [
    ({"normalizer": step("Magic")}, r"normalizer\.type: expected one of .*NFKC.*, found 'Magic'"),
    ({"pre_tokenizer": step("UnicodeScripts")}, r"pre_tokenizer\.type: .*found 'UnicodeScripts'"),
    ({"decoder": step("CTC")}, r"decoder\.type: expected one of .*, found 'CTC'"),
    ({"post_processor": step("Unheard")}, r"post_processor\.type: .*found 'Unheard'"),
    ({"model": step("WordLevel", vocab={})}, r"model\.type: expected one of BPE, .*'WordLevel'"),
    ({"model": TO_BYTES | {"dropout": 0.1}}, r"model\.dropout: expected none.*found 0\.1"),
    ({"model": TO_BYTES | {"end_of_word_suffix": "x"}}, r"model\.byte_fallback"),
    ({"model": step("BPE", vocab=VOCAB, merges=[["a"]])}, r"merges: expected pairs"),
    ({"model": step("BPE", vocab=VOCAB, merges=[["a", "c"]])}, r"merges\[0\]: \('a', 'c'\)"),
    ({"model": step("BPE", vocab={"a": True}, merges=[])}, r"vocab\.a: expected 0\.\..*found True"),
    ({"model": step("BPE", vocab={"a": 2**32}, merges=[])}, r"vocab\.a: expected"),
    ({"model": step("Unigram", vocab=[["a", "b"]])}, r"vocab: expected pairs"),
    ({"model": step("Unigram", vocab=[["a", 0]], unk_id=1)}, r"unk_id: expected 0\.\.0, found 1"),
    ({"normalizer": step("Prepend")}, r"normalizer\.prepend: expected text, found nothing"),
    ({"normalizer": nested(9)}, "more than 8 sequences"),
    (
        {"normalizer": step("Replace", pattern={"Regex": "^"}, content="x")},
        "expected a pattern that always matches something",
    ),
    ({"normalizer": step("Precompiled", precompiled_charsmap="AAAA")}, "rules of 3 bytes"),
    ({"pre_tokenizer": split(r"\p{Han}+")}, r"'\\\\p\{Han\}\+' is not supported"),
    ({"pre_tokenizer": split("[a&&b]")}, "'a class in a class' is not supported"),
    ({"pre_tokenizer": split("(a")}, r"pre_tokenizer\.pattern: .*expected \)"),
    ({"pre_tokenizer": split("a)")}, r"unmatched \)"),
    (
        {"added_tokens": added(256, "A", "a", normalized=True), "normalizer": step("Lowercase")},
        "'a' is nothing, or found for two",
    ),
    ({"added_tokens": [{"id": 1, "content": "a"}]}, r"added_tokens\[0\]\.single_word"),
]


@pytest.mark.parametrize("parts, message", REFUSED, ids=range(len(REFUSED)))
def test_what_is_unknown_or_broken_is_named(parts, message):
    with pytest.raises(FormatError, match=message) as error:
        Tokenizer.from_str(document(**parts))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "pattern", [r"(a+)+b", r"(?:a|ab)*\s", r"(?=(?:a?b)*)", r"((?:a*b){2,}){2}"]
)
def test_an_expression_that_may_never_end_is_refused(pattern):
    with pytest.raises(FormatError, match="may never end"):
        translated(pattern)


@pytest.mark.parametrize("pattern", ["(" * 20 + ")" * 20, "a" * 9000, "a{1001}", "a**", "(?#x)"])
def test_an_expression_beyond_the_limits_is_refused(pattern):
    with pytest.raises(FormatError, match="groups in each|characters|not supported"):
        translated(pattern)


@given(st.text(st.sampled_from(r"ab()[]{}\pLNsdwux|*+?.^$-,1:=!<>i")))
def test_any_expression_is_translated_or_refused(pattern):
    try:
        found = translated(pattern)
    except FormatError:
        return
    re.compile(found)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)
KINDS = ["Sequence", "NFC", "Split", "ByteLevel", "Replace", "Strip", "Metaspace", "Precompiled"]
PARTS = ["normalizer", "pre_tokenizer", "decoder", "post_processor", "added_tokens", "model"]
FIELDS = ["pattern", "content", "behavior", "invert", "normalizers", "start", "vocab", "merges"]


@given(
    st.sampled_from(PARTS),
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(FIELDS), json_values),
)
def test_any_component_is_read_or_refused(part, kind, fields):
    try:
        Tokenizer.from_str(document(**{part: {"type": kind} | fields}))
    except FormatError as error:
        assert "tokenizer" in str(error)


def test_categories_are_unicodes():
    """But for characters that are younger than this Python, or that have changed since."""
    names = [name for name in classes.names() if len(name) == 2 and name != "Cn"]
    for name in names:
        ours = classes.members(name)
        for char in ours:
            assert unicodedata.category(char) in (name, "Cn") or char in CHANGED
    known = {c for name in names for c in classes.members(name)}
    characters = [chr(code) for code in range(0x110000) if code not in range(0xD800, 0xE000)]
    assert not [c for c in characters if unicodedata.category(c) != "Cn" and c not in known]


CHANGED = frozenset("\u1734\U0001171e")


@given(
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.from_regex(r"-?(0|[1-9][0-9]{0,25})\.[0-9]{1,25}([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    )
)
def test_scores_are_read_as_the_rust_package_reads_them(number):
    """It writes them exactly, so what it has read shows."""
    model = {"type": "Unigram", "unk_id": None, "vocab": [["a", "NUMBER"]], "byte_fallback": False}
    text = document(model).replace('"NUMBER"', number)
    theirs = json.loads(Rust.from_str(text).to_str())["model"]["vocab"][0][1]
    assert parse_score(number) == theirs
