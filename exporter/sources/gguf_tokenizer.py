"""The tokenizer in a GGUF file's metadata, rebuilt as tokenizer.json."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.errors import SourceError, UnsupportedModel

from . import Generation, TokenizerFiles
from .bpe_vocabularies import byte_level, merges_from_scores, sentencepiece
from .end_of_turn import END_OF_TURN
from .gguf_file import Value
from .pretokenizers import pretokenizer
from .tokenizer_json import CUT_OUT_FIRST, TokenKind, Vocabulary

NO_VOCABULARY = ("none", "no_vocab")
MAX_TOKEN_LENGTH = 4096
# Phi-3's special tokens swallow the blanks behind them, except these.
PHI3_KEEP_BLANKS = {"<unk>", "<s>", "<|endoftext|>"}


def tokenizer_files(metadata: Mapping[str, Value], where: str) -> TokenizerFiles | None:
    """None if the file says that it has no vocabulary."""
    if "tokenizer.ggml.model" not in metadata:
        return None
    model = _text(metadata, "model", where)
    if model in NO_VOCABULARY:
        return None
    if model not in BUILDERS:
        raise UnsupportedModel(
            f"{where}: tokenizer.ggml.model {model!r:.60}; edge reads {', '.join(BUILDERS)}"
        )
    vocabulary = _vocabulary(metadata, where)
    json, add_bos = BUILDERS[model](metadata, vocabulary, where)
    first, last = (1, 2) if model == "llama" else (None, None)  # SentencePiece's defaults
    bos = _token_id(metadata, "bos", vocabulary, first)
    template = metadata.get("tokenizer.chat_template")
    return TokenizerFiles(
        json=json,
        chat_template=template if isinstance(template, str) else None,
        bos=bos,
        eos=_end_tokens(metadata, vocabulary, last),
        add_bos=_flag(metadata, "add_bos_token", add_bos, where) and bos is not None,
    )


def generation_of(metadata: Mapping[str, Value]) -> Generation:
    """Sampling defaults that newer converters copy from generation_config.json."""
    names = {
        "temperature": "temp",
        "top_k": "top_k",
        "top_p": "top_p",
        "repetition_penalty": "penalty_repeat",
    }
    found: dict[str, Any] = {
        ours: metadata.get(f"general.sampling.{gguf}") for ours, gguf in names.items()
    }
    return Generation(**{k: v for k, v in found.items() if type(v) in (int, float)})


def _vocabulary(metadata: Mapping[str, Value], where: str) -> Vocabulary:
    tokens = _strings(metadata, "tokens", where)
    if max(map(len, tokens), default=0) > MAX_TOKEN_LENGTH:
        raise SourceError(f"{where}: a token is longer than {MAX_TOKEN_LENGTH} characters")
    kinds = metadata.get("tokenizer.ggml.token_type")
    if kinds is None:
        kinds = np.full(len(tokens), TokenKind.NORMAL)
    if not isinstance(kinds, np.ndarray) or len(kinds) != len(tokens):
        raise SourceError(f"{where}: tokenizer.ggml.token_type does not have one entry a token")
    tokens = [token or f"[EMPTY_{i}]" for i, token in enumerate(tokens)]  # llama.cpp's name
    kinds = kinds.tolist()
    return Vocabulary(tokens, kinds, _strip_after(metadata, tokens, kinds))


def _strip_after(
    metadata: Mapping[str, Value], tokens: list[str], kinds: list[int]
) -> frozenset[int]:
    name = str(metadata.get("general.name", "")).lower()
    if "phi-3" not in name and "phi3" not in name:
        return frozenset()
    return frozenset(
        i
        for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in CUT_OUT_FIRST and token not in PHI3_KEEP_BLANKS
    )


def _gpt2(metadata: Mapping[str, Value], vocabulary: Vocabulary, where: str) -> tuple[bytes, bool]:
    if "tokenizer.ggml.pre" not in metadata:
        raise UnsupportedModel(
            f"{where}: names no pre-tokenizer (tokenizer.ggml.pre), as files of old converters "
            "do; convert the model again"
        )
    words = pretokenizer(_text(metadata, "pre", where), where)
    return byte_level(vocabulary, _merges(metadata, where), words, where), words.add_bos


def _llama(metadata: Mapping[str, Value], vocabulary: Vocabulary, where: str) -> tuple[bytes, bool]:
    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, np.ndarray) or len(scores) != len(vocabulary.tokens):
        raise SourceError(f"{where}: tokenizer.ggml.scores does not have one entry a token")
    prefix = _flag(metadata, "add_space_prefix", True, where)
    merges = merges_from_scores(vocabulary, scores)
    return sentencepiece(vocabulary, merges, where, add_space_prefix=prefix), True


def _gemma4(
    metadata: Mapping[str, Value], vocabulary: Vocabulary, where: str
) -> tuple[bytes, bool]:
    """SentencePiece with the merges in the file; runs of newlines are words of their own."""
    merges = _merges(metadata, where)
    splits = [r"[^\n]+|[\n]+"]
    json = sentencepiece(vocabulary, merges, where, add_space_prefix=False, splits=splits)
    return json, True


BUILDERS = {"gpt2": _gpt2, "llama": _llama, "gemma4": _gemma4}


def _merges(metadata: Mapping[str, Value], where: str) -> list[tuple[str, str]]:
    """Pairs of tokens; the blank between them is never the first character."""
    pairs = []
    for line in _strings(metadata, "merges", where):
        blank = line.find(" ", 1)
        if blank < 0:
            raise SourceError(f"{where}: tokenizer.ggml.merges: {line!r:.60} is not a pair")
        pairs.append((line[:blank], line[blank + 1 :]))
    return pairs


def _strings(metadata: Mapping[str, Value], name: str, where: str) -> list[str]:
    value = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, list):
        raise SourceError(f"{where}: tokenizer.ggml.{name}: expected strings, found {value!r:.60}")
    return value


def _text(metadata: Mapping[str, Value], name: str, where: str) -> str:
    value = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, str):
        raise SourceError(f"{where}: tokenizer.ggml.{name}: expected text, found {value!r:.60}")
    return value


def _flag(metadata: Mapping[str, Value], name: str, default: bool, where: str) -> bool:
    value = metadata.get(f"tokenizer.ggml.{name}", default)
    if not isinstance(value, bool):
        raise SourceError(f"{where}: tokenizer.ggml.{name}: expected a bool, found {value!r:.60}")
    return value


def _token_id(
    metadata: Mapping[str, Value], name: str, vocabulary: Vocabulary, default: int | None = None
) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{name}_token_id", default)
    if isinstance(value, int) and 0 <= value < len(vocabulary.tokens):
        return value
    return None


def _end_tokens(
    metadata: Mapping[str, Value], vocabulary: Vocabulary, default: int | None
) -> tuple[int, ...]:
    """The end-of-sequence token first, then the ends of a turn."""
    named = [
        _token_id(metadata, "eos", vocabulary, default),
        _token_id(metadata, "eot", vocabulary),
        _token_id(metadata, "eom", vocabulary),
    ]
    found = [i for i, token in enumerate(vocabulary.tokens) if token in END_OF_TURN]
    return tuple(dict.fromkeys(i for i in [*named, *found] if i is not None))
