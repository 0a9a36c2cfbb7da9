"""GPT-2's letters for the 256 bytes: a token of a byte-level vocabulary is text of these."""

from functools import lru_cache

PRINTABLE = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}  # stand for themselves
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]  # U+0100 and on, in this order
LETTERS = {byte: chr(byte) for byte in PRINTABLE}
LETTERS |= {byte: chr(0x100 + i) for i, byte in enumerate(OTHERS)}
BYTES = {letter: byte for byte, letter in LETTERS.items()}
SPACE = LETTERS[0x20]


@lru_cache(maxsize=1 << 14)
def to_letters(text: str) -> str:
    return text.encode().decode("latin-1").translate(LETTERS)


def to_bytes(letters: str) -> bytes:
    """The bytes that letters stand for; of a text with other characters, its UTF-8."""
    try:
        return bytes([BYTES[letter] for letter in letters])
    except KeyError:
        return letters.encode()
