"""tokenizer.json documents of the `tokenizers` library, written from a vocabulary's parts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from tokenizers import Tokenizer

from edge.errors import SourceError

Json = dict[str, Any]


class TokenKind(IntEnum):
    """SentencePiece's kinds of pieces, which GGUF took over."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


SPECIAL = frozenset({TokenKind.UNKNOWN, TokenKind.CONTROL})
CUT_OUT_FIRST = SPECIAL | {TokenKind.USER_DEFINED}  # found in a text before anything else


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id. `strip_after` holds ids of special tokens that swallow the blanks behind."""

    tokens: Sequence[str]
    kinds: Sequence[int]
    strip_after: frozenset[int] = frozenset()

    def ids(self, where: str) -> dict[str, int]:
        ids = {token: i for i, token in enumerate(self.tokens)}
        if len(ids) != len(self.tokens):
            twice = next(t for i, t in enumerate(self.tokens) if ids[t] != i)
            raise SourceError(f"{where}: token {twice!r:.60} appears twice in the vocabulary")
        return ids

    def added(self) -> list[Json]:
        """Tokens that are found in a text as they are, before normalizing and splitting."""
        return [
            {
                "id": i,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": i in self.strip_after,
                "normalized": False,
                "special": kind in SPECIAL,
            }
            for i, (token, kind) in enumerate(zip(self.tokens, self.kinds, strict=True))
            if kind in CUT_OUT_FIRST
        ]


def document(
    vocabulary: Vocabulary,
    model: Json,
    *,
    normalizers: list[Json],
    pre_tokenizers: list[Json],
    decoders: list[Json],
    where: str,
) -> bytes:
    """A tokenizer.json that `tokenizers` has loaded once; no post-processor, so no BOS."""
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": vocabulary.added(),
        "normalizer": _sequence("normalizers", normalizers),
        "pre_tokenizer": _sequence("pretokenizers", pre_tokenizers),
        "post_processor": None,
        "decoder": _sequence("decoders", decoders),
        "model": {"type": "BPE"} | model,
    }
    encoded = json.dumps(content, ensure_ascii=False).encode()
    load(encoded, where)
    return encoded


def load(encoded: bytes, where: str) -> Tokenizer:
    try:
        return Tokenizer.from_buffer(encoded)
    except Exception as error:  # noqa: BLE001 `tokenizers` raises nothing narrower
        raise SourceError(f"{where}: not a usable tokenizer: {error!s:.200}") from None


def bpe(ids: dict[str, int], merges: Iterable[tuple[str, str]], **options: Any) -> Json:
    """A BPE model; merges of or into what is not a token are left out, as no text can use them."""
    usable = [[a, b] for a, b in merges if a in ids and b in ids and a + b in ids]
    return {"vocab": ids, "merges": usable} | options


def replace(what: str, by: str) -> Json:
    return {"type": "Replace", "pattern": {"String": what}, "content": by}


def split(pattern: str) -> Json:
    """Every match and every gap becomes a piece."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def _sequence(plural: str, steps: list[Json]) -> Json | None:
    if len(steps) < 2:
        return steps[0] if steps else None
    return {"type": "Sequence", plural: steps}
