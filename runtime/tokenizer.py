"""Text to token ids and back, with the tokenizer that a model's file carries."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from edge.errors import EdgeError, FormatError
from edge.format.reader import EdgeFile

if TYPE_CHECKING:
    import tokenizers

    from . import pytokenizers

    Engine = tokenizers.Tokenizer | pytokenizers.Tokenizer
    Encoding = tokenizers.Encoding | pytokenizers.Encoding

TOKENIZER = "tokenizer.json"
REPLACEMENT = "\ufffd"  # what a decoder makes of bytes that are no character (yet)
CONTEXT = 4  # tokens whose text tells whether the next one begins with a space
MOST_HELD = 64  # tokens; more than any character has bytes


class Tokenizer:
    """A tokenizer, of `tokenizers` or of pytokenizers, and the ids that begin and end a text.

    `around`: ids that an encoder wants before and after every text.
    `vocabulary` is the model's: ids that it has no embedding for are refused.
    """

    def __init__(
        self,
        tokenizer: Engine,
        vocabulary: int,
        bos: int | None = None,
        eos: Sequence[int] = (),
        add_bos: bool = False,
        around: tuple[Sequence[int], Sequence[int]] = ((), ()),
    ):
        self._tokenizer = tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.vocabulary = vocabulary
        self.bos, self.eos, self.add_bos = bos, tuple(eos), add_bos and bos is not None
        self._before, self._after = (list(ids) for ids in around)

    @classmethod
    def of(cls, file: EdgeFile) -> Tokenizer:
        """The file's tokenizer.  Raises FormatError if it is broken, EdgeError if there is none."""
        ids = file.document["tokenizer"]
        if ids is None or TOKENIZER not in file:
            raise EdgeError(f"{file.path}: the model has no tokenizer; give it token ids instead")
        vocabulary = file.config.vocabulary
        around = ids.get("before", []), ids.get("after", [])
        named = ids.get("bos"), *ids["eos"], *around[0], *around[1]
        outside = [i for i in named if i is not None and i >= vocabulary]
        if outside:
            raise FormatError(
                f"{file.path}: tokenizer id {outside[0]}, expected 0..{vocabulary - 1}"
            )
        tokenizer = _parse(file.read_bytes(TOKENIZER), str(file.path))
        bos, add_bos = ids.get("bos"), bool(ids.get("add_bos"))
        return cls(tokenizer, vocabulary, bos, ids["eos"], add_bos, around)

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """Ids of a text; special tokens that it spells out stay text unless `special`.

        `bos` puts the id that begins a text first, where the model wants one and it is not there.
        """
        self._tokenizer.encode_special_tokens = not special
        ids: list[int] = self._encoding(text).ids
        self.check(ids)
        if bos and self.add_bos and ids[:1] != [self.bos]:
            assert self.bos is not None
            ids.insert(0, self.bos)
        return ids

    def encode_whole(self, text: str, most: int) -> tuple[list[int], int]:
        """An encoder's ids of a text, at most so many, and how many there would be uncut.

        Special tokens that the text spells out count as such, as in sentence-transformers.
        """
        ids = self.encode(text, special=True)
        room = max(most - len(self._before) - len(self._after), 0)
        whole = len(self._before) + len(ids) + len(self._after)
        return [*self._before, *ids[:room], *self._after][:most], whole

    def encode_marked(self, text: str, mark: str) -> list[int]:
        """Ids of a text with special tokens, but none where it holds `mark`, which is left out."""
        if mark not in text:
            return self.encode(text, special=True)
        self._tokenizer.encode_special_tokens = False
        encoding = self._encoding(text)
        ids: list[int] = []
        plain = 0  # where the text since the last special token begins
        for token, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token in self.special:
                ids += [*self.encode(text[plain:begin].replace(mark, "")), token]
                plain = end
        return ids + self.encode(text[plain:].replace(mark, ""))

    def _encoding(self, text: str) -> Encoding:
        try:
            return self._tokenizer.encode(_valid(text), add_special_tokens=False)
        except BaseException as error:
            if not _is_its_own(error):
                raise
            raise EdgeError(f"the model's tokenizer cannot encode this text: {error}") from None

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens, special ones left out unless `special`."""
        self.check(ids)
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=not special)
        return text

    def stream(self, after: Sequence[int] = ()) -> TextStream:
        """A decoder for tokens as they come, continuing the text of the tokens `after`."""
        return TextStream(self, after)

    @cached_property
    def special(self) -> dict[int, str]:
        """Tokens that are instructions to the model and not text, by id."""
        added = self._tokenizer.get_added_tokens_decoder()
        return {i: token.content for i, token in added.items() if token.special}

    def spelling(self, token: int | None) -> str:
        """A token as the vocabulary spells it; empty for none."""
        return "" if token is None else self._tokenizer.id_to_token(token) or ""

    def check(self, ids: Sequence[int]) -> None:
        """Raises EdgeError if the model has no such tokens."""
        if ids and not (min(ids) >= 0 and max(ids) < self.vocabulary):
            wrong = next(i for i in ids if not 0 <= i < self.vocabulary)
            raise EdgeError(f"token id {wrong}, expected 0..{self.vocabulary - 1}")


class TextStream:
    """Text of tokens as they come; never half a character.

    A tail that decodes to U+FFFD may be the first bytes of a character: it waits for the rest.
    Tokens are decoded behind those of the piece before, because decoders drop the space that
    begins a text.
    """

    def __init__(self, tokenizer: Tokenizer, after: Sequence[int]):
        self._tokenizer = tokenizer
        self._ids = _last_whole(tokenizer, list(after))
        self._context = len(self._ids)  # tokens of `_ids` whose text has been given out
        self._shown = tokenizer.decode(self._ids)

    def push(self, token: int) -> str:
        """The text that is certain now; often empty."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        whole = text.rstrip(REPLACEMENT)
        if len(self._ids) - self._context > MOST_HELD:
            return self.flush()
        if not whole.startswith(self._shown):  # bytes of a run that decode only together
            return ""
        piece = whole[len(self._shown) :]
        self._shown = whole
        if whole == text and piece:
            self._move_on()
        return piece

    def flush(self) -> str:
        """The rest, when no more tokens come."""
        text = self._tokenizer.decode(self._ids)
        piece = text[len(self._shown) :]
        self._move_on()
        return piece

    def _move_on(self) -> None:
        """Keep the tokens of the last piece, as context of the next."""
        self._ids = self._ids[self._context :]
        self._context = len(self._ids)
        self._shown = self._tokenizer.decode(self._ids)


def _last_whole(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    """The last few tokens, from the beginning of a character on."""
    for count in range(min(CONTEXT, len(ids)), min(4 * CONTEXT, len(ids)) + 1):
        tail = ids[len(ids) - count :]
        if not tokenizer.decode(tail).startswith(REPLACEMENT):
            return tail
    return []


def _parse(document: bytes, where: str) -> Engine:
    try:
        tokenizer = engine().from_str(document.decode())
    except BaseException as error:
        if not _is_its_own(error):
            raise
        raise FormatError(f"{where}: {TOKENIZER} cannot be read: {error}") from None
    _trim()
    return tokenizer


def _trim() -> None:
    """Parsing a vocabulary takes tens of MB for a moment; glibc keeps them unless it is told."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        pass


def engine() -> type[Engine]:
    """The Rust package's tokenizer; edge's own, which is slower, where that cannot be had."""
    try:
        from tokenizers import Tokenizer as Rust
    except ImportError:  # no wheel for Android
        from .pytokenizers import Tokenizer as Python

        return Python
    return Rust


def _is_its_own(error: BaseException) -> bool:
    """Whether an error comes from `tokenizers`: a panic of its Rust code is no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _valid(text: str) -> str:
    """The text with lone surrogates (undecodable command line arguments) replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
