"""llama2.c's tokenizer.bin: a SentencePiece vocabulary as scores and strings.

int32 length of the longest string, then for every token: float32 score, int32 length, bytes.
The writer (llama2.c, tokenizer.py) shows blanks as blanks and puts newlines around <s> and </s>.
"""

import re
import struct
from pathlib import Path

import numpy as np

from edge.errors import SourceError

from . import TokenizerFiles
from .bpe_vocabularies import SPACE, merges_from_scores, sentencepiece
from .files import mapped
from .tokenizer_json import TokenKind, Vocabulary

UNKNOWN, BOS, EOS = 0, 1, 2
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
MAX_TOKEN_BYTES = 4096


def tokenizer_files(path: Path, vocabulary_size: int) -> TokenizerFiles:
    tokens, scores = _read(path, vocabulary_size)
    tokens[BOS], tokens[EOS] = "<s>", "</s>"
    vocabulary = Vocabulary(tokens, [_kind(i, token) for i, token in enumerate(tokens)])
    json = sentencepiece(
        vocabulary, merges_from_scores(vocabulary, scores), str(path), add_space_prefix=True
    )
    return TokenizerFiles(json=json, chat_template=None, bos=BOS, eos=(BOS, EOS), add_bos=True)


def _read(path: Path, count: int) -> tuple[list[str], np.ndarray]:
    data = mapped(path)
    if count < 3 or 4 + 8 * count > len(data):
        raise SourceError(f"{path}: {count} tokens cannot fit in {len(data)} bytes")
    tokens, scores, at = [], np.empty(count, np.float32), 4
    for i in range(count):
        if at + 8 > len(data):
            raise SourceError(f"{path}: ends before token {i} of {count} (truncated?)")
        scores[i], size = struct.unpack_from("<fi", data, at)
        at += 8 + size
        if not 0 <= size <= MAX_TOKEN_BYTES or at > len(data):
            raise SourceError(f"{path}: token {i} of {count} has the length {size}")
        tokens.append(_decoded(data[at - size : at], f"{path}: token {i}"))
    if at != len(data):
        raise SourceError(f"{path}: expected {at} bytes for {count} tokens, found {len(data)}")
    return tokens, scores


def _decoded(text: bytes, where: str) -> str:
    try:
        return text.decode().replace(" ", SPACE)
    except UnicodeDecodeError:
        raise SourceError(f"{where} is not UTF-8") from None


def _kind(i: int, token: str) -> TokenKind:
    if i in (BOS, EOS):
        return TokenKind.CONTROL
    if i == UNKNOWN:
        return TokenKind.UNKNOWN
    return TokenKind.BYTE if BYTE.fullmatch(token) else TokenKind.NORMAL
