"""The two kinds of BPE vocabularies: bytes as letters (GPT-2) and SentencePiece."""

from collections.abc import Iterable, Sequence

import numpy as np

from .pretokenizers import Pretokenizer
from .tokenizer_json import CUT_OUT_FIRST, TokenKind, Vocabulary, bpe, document, replace, split

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's visible blank, U+2581


def byte_level(
    vocabulary: Vocabulary,
    merges: Iterable[tuple[str, str]],
    pretokenizer: Pretokenizer,
    where: str,
) -> bytes:
    """tokenizer.json of a vocabulary whose tokens spell bytes as GPT-2's letters."""
    to_letters = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    return document(
        vocabulary,
        bpe(vocabulary.ids(where), merges, ignore_merges=pretokenizer.ignore_merges),
        normalizers=[{"type": "NFC"}] if pretokenizer.nfc else [],
        pre_tokenizers=[*map(split, pretokenizer.patterns), to_letters],
        decoders=[to_letters],
        where=where,
    )


def sentencepiece(
    vocabulary: Vocabulary,
    merges: Iterable[tuple[str, str]],
    where: str,
    add_space_prefix: bool,
    splits: Sequence[str] = (),
) -> bytes:
    """tokenizer.json as transformers writes it for LlamaTokenizer (legacy) and GemmaTokenizer."""
    unknown = [
        t
        for t, kind in zip(vocabulary.tokens, vocabulary.kinds, strict=True)
        if kind == TokenKind.UNKNOWN
    ]
    model = bpe(
        vocabulary.ids(where),
        merges,
        unk_token=unknown[0] if unknown else None,
        fuse_unk=True,
        byte_fallback=True,
    )
    prepend = [{"type": "Prepend", "prepend": SPACE}] if add_space_prefix else []
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if add_space_prefix else []
    return document(
        vocabulary,
        model,
        normalizers=[*prepend, replace(" ", SPACE)],
        pre_tokenizers=[*map(split, splits)],
        decoders=[replace(SPACE, " "), {"type": "ByteFallback"}, {"type": "Fuse"}, *strip],
        where=where,
    )


def merges_from_scores(vocabulary: Vocabulary, scores: np.ndarray) -> list[tuple[str, str]]:
    """Every way to put a token together from two others, in the order they are to be tried.

    SentencePiece has no merges: it joins the pair whose token scores best, the leftmost of
    equals. Among equal scores the longest left half goes first, as in transformers: so a run of
    blanks, whose tokens all score alike, grows from the left.
    """
    scored = {
        token: float(score)
        for token, kind, score in zip(vocabulary.tokens, vocabulary.kinds, scores, strict=True)
        if kind not in CUT_OUT_FIRST and kind != TokenKind.BYTE
    }
    merges = [
        (token[:i], token[i:])
        for token in scored
        for i in range(1, len(token))
        if token[:i] in scored and token[i:] in scored
    ]
    merges.sort(key=lambda pair: (-scored["".join(pair)], -len(pair[0]), -len(pair[1])))
    return merges
