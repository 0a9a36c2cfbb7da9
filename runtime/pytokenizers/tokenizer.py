"""A tokenizer.json at work: text to ids and back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property

from edge.errors import FormatError

from .added_tokens import AddedToken, AddedTokens, Found
from .bpe import Bpe
from .decoders import decoders
from .fields import Fields
from .normalizers import normalizers
from .pieces import Piece, Span, spread
from .pretokenizers import pretokenizers
from .processors import Process, processors
from .scores import parse_score
from .unigram import Unigram
from .vocabularies import Tokens
from .wordpiece import WordPiece

VERSION = "1.0"
Model = Bpe | Unigram | WordPiece
MODELS: dict[str, Callable[[Fields], Model]] = {
    "BPE": Bpe,
    "Unigram": Unigram,
    "WordPiece": WordPiece,
}
LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # or one of a pair


class Tokenizer:
    """What edge uses of `tokenizers.Tokenizer`."""

    def __init__(self, document: Fields):
        if document.text("version", VERSION) != VERSION:
            raise document.error("version", repr(VERSION))
        self._model = _model(document)
        self._normalizers = normalizers(document.inner("normalizer"))
        self._pretokenizers = pretokenizers(document.inner("pre_tokenizer"))
        self._processors = processors(document.inner("post_processor"))
        decoder = document.inner("decoder")
        self._decoders = decoders(decoder) if decoder else None
        added = document.items("added_tokens") if "added_tokens" in document.value else []
        where = f"{document.where}.added_tokens"
        self._added = AddedTokens(added, self._model.ids, self._normalized, where)

    @classmethod
    def from_str(cls, text: str) -> Tokenizer:
        """Raises FormatError if the document is broken, or has what edge does not know."""
        try:
            document = json.loads(text, parse_float=parse_score)
            if LONE_SURROGATE.search(text):
                json.dumps(document, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
            raise FormatError(f"not JSON: {error!s:.100}") from None
        return cls(Fields(document, "tokenizer"))

    def no_truncation(self) -> None:
        """There is none."""

    def no_padding(self) -> None:
        """There is none."""

    @property
    def encode_special_tokens(self) -> bool:
        """Whether special tokens that a text spells out are encoded as text."""
        return self._added.encode_special

    @encode_special_tokens.setter
    def encode_special_tokens(self, value: bool) -> None:
        self._added.encode_special = value

    def encode(self, text: str, add_special_tokens: bool = False) -> Encoding:
        if add_special_tokens:
            raise ValueError("special tokens are added by edge.runtime.tokenizer")
        words: list[tuple[Piece, Tokens]] = []
        pending: list[Piece] = []
        for part in self._parts(text):
            if isinstance(part, Piece):
                pending.append(part)
            else:
                words += self._words(pending)
                words.append((part.piece, _whole(part)))
                pending = []
        words += self._words(pending)
        return Encoding(words, self.id_to_token, self._processors)

    def _parts(self, text: str) -> list[Piece | Found]:
        """Added tokens, and normalized what lies between."""
        parts: list[Piece | Found] = []
        added = self._added
        for part in added.cut(Piece.of(text), added.raw):
            if isinstance(part, Piece):
                parts += added.cut(self._normalized(part), added.normalized)
            else:
                parts.append(part)
        return parts

    def _normalized(self, piece: Piece) -> Piece:
        for normalize in self._normalizers:
            piece = normalize(piece)
        return piece

    def _words(self, pieces: list[Piece]) -> list[tuple[Piece, Tokens]]:
        for pretokenize in self._pretokenizers:
            pieces = pretokenize(pieces)
        tokenize = self._model.tokenize
        return [(piece, tokenize(piece.text)) for piece in pieces]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        spelt = [token for token in map(self.id_to_token, ids) if token is not None]
        if skip_special_tokens:
            spelt = [token for token in spelt if token not in self._added.special]
        if self._decoders is None:
            return " ".join(spelt)
        for decode in self._decoders:
            spelt = decode(spelt)
        return "".join(spelt)

    def get_added_tokens_decoder(self) -> dict[int, AddedToken]:
        return dict(self._added.tokens)

    def id_to_token(self, token: int) -> str | None:
        found = self._added.spellings.get(token)
        return self._spellings.get(token) if found is None else found

    @cached_property
    def _spellings(self) -> dict[int, str]:
        return self._model.tokens


class Encoding:
    """The tokens of a text. Offsets, in characters of it, are worked out when asked for."""

    def __init__(
        self,
        words: list[tuple[Piece, Tokens]],
        spell: Callable[[int], str | None],
        process: list[Process],
    ):
        self._words, self._spell, self._process = words, spell, process
        self.ids = [i for _, tokens in words for i in tokens.ids]

    @cached_property
    def offsets(self) -> list[Span]:
        spans = [span for piece, tokens in self._words for span in _spans(piece, tokens)]
        if self._process:
            spelt = [text for _, tokens in self._words for text in self._texts(tokens)]
            for process in self._process:
                spans = process(spelt, spans)
        return spans

    def _texts(self, tokens: Tokens) -> list[str]:
        return [self._spell(i) or "" if tokens.text is None else tokens.text for i in tokens.ids]


def _model(document: Fields) -> Model:
    model = document.inner("model")
    if model is None:
        raise document.error("model", "an object")
    default = "BPE" if "merges" in model.value else None  # as files of 2020 have it
    return model.choice("type", MODELS, default)(model)


def _whole(found: Found) -> Tokens:
    """An added token, with the blanks that it took along."""
    text = found.piece.text
    return Tokens((found.id,), ((0, len(text.encode())),), text)


def _spans(piece: Piece, tokens: Tokens) -> list[Span]:
    """Where the tokens of a piece are in the text that was given."""
    spans = piece.spans
    if not piece.text.isascii():
        spans = spread(spans, (len(char.encode()) for char in piece.text))
    return [(spans[begin][0], spans[end - 1][1]) for begin, end in tokens.spans]
