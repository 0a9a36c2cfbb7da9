r"""Writes runtime/pytokenizers/classes.txt: what `tokenizers` takes each character for.

    python tests/golden/unicode_classes.py

A line a class: its name, then its ranges in hexadecimal. Whose tables they are:

Lu .. Cn          general categories: Oniguruma's \p{..}, which Split and Replace use
space, word       Oniguruma's \s and \w
word_in_class     its \w between brackets
regex_word        \w of the crate regex (Whitespace, single_word)
numeric           Rust's char::is_numeric (Digits)
punctuation       crate unicode_categories, and ASCII's (Punctuation, BertPreTokenizer)
bert_control      what BertNormalizer's clean_text takes away
nonspacing        what its strip_accents takes away
combining         what StripAccents takes away
normalizing       what the normal forms touch: decomposed, composed or ordered
grapheme_*        crate unicode-segmentation (Precompiled)
lowercase         small letters of capitals that came after Unicode 3.2, as Rust has them
"""

import base64
import json
import struct
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

CLASSES = Path(__file__).parents[2] / "runtime" / "pytokenizers" / "classes.txt"
SURROGATES = range(0xD800, 0xE000)
CHARACTERS = [chr(code) for code in range(0x110000) if code not in SURROGATES]
CATEGORIES = (
    *("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe"),
    *("Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"),
)
ONIGURUMA = {name: rf"\p{{{name}}}" for name in CATEGORIES}
ONIGURUMA |= {"space": r"\s", "word": r"\w", "word_in_class": r"[\w]"}


def matching(expression: str) -> set[str]:
    split = pre_tokenizers.Split(Regex(expression + "+"), "removed", invert=True)
    return set("".join(piece for piece, _ in split.pre_tokenize_str("".join(CHARACTERS))))


def taken_away(normalize: Callable[[str], str]) -> set[str]:
    return {char for char in CHARACTERS if normalize(char) == ""}


def bert(**what: bool) -> Callable[[str], str]:
    off = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
    return normalizers.BertNormalizer(**off | what).normalize_str


def alone(pre_tokenizer: pre_tokenizers.PreTokenizer) -> set[str]:
    """Characters that are cut off from the letters around them."""
    pieces = pre_tokenizer.pre_tokenize_str("".join(f"xx{char}xx" for char in CHARACTERS))
    return {piece for piece, _ in pieces if len(piece) == 1}


def regex_word() -> set[str]:
    text = " ".join(f"x{char}" for char in CHARACTERS)
    pieces = pre_tokenizers.Whitespace().pre_tokenize_str(text)
    return {piece[1] for piece, _ in pieces if len(piece) == 2 and piece[0] == "x"}


def normalizing() -> set[str]:
    forms = [getattr(normalizers, name)().normalize_str for name in ("NFD", "NFKD")]
    found = set()
    for char in CHARACTERS:
        apart = {form(char) for form in forms} - {char}
        ordered = (f"x\u0345{char}", f"x{char}\u0334")  # marks of the highest and lowest class
        if apart or any(forms[0](text) != text for text in ordered):
            found |= {char, *"".join(apart)}
    return found


def one_rule() -> Callable[[str], str]:
    """A normalizer with one compiled rule: x becomes y, and so does a cluster that begins so."""
    trie = [0] * 512
    trie[0] = 1 << 10
    trie[1 ^ ord("x")] = 2 << 10 | 1 << 8 | ord("x")
    rules = struct.pack("<I512I", 4 * 512, *trie) + b"y\0"
    encoded = base64.b64encode(rules).decode()
    step = {"type": "Precompiled", "precompiled_charsmap": encoded}
    document = json.loads(Tokenizer(models.BPE()).to_str()) | {"normalizer": step}
    found = Tokenizer.from_str(json.dumps(document)).normalizer
    assert found is not None
    return found.normalize_str


def graphemes(categories: dict[str, set[str]]) -> dict[str, set[str]]:
    rule = one_rule()
    extend = {char for char in CHARACTERS if rule("x" + char) == "y"}
    # The x loses its accent, unless it is joined to more than five bytes with what is before it.
    prepend = {c for c in CHARACTERS if rule(f"{c}x\u0301\u0301") == f"{c}y\u0301\u0301"}
    control = set().union(*(categories[name] for name in ("Cc", "Cf", "Zl", "Zp")))
    return {"extend": extend, "prepend": prepend, "control": control - extend - prepend}


def ranges(found: Iterable[str]) -> str:
    joined: list[list[int]] = []
    for code in sorted(map(ord, found)):
        if joined and joined[-1][1] == code - 1:
            joined[-1][1] = code
        else:
            joined.append([code, code])
    return " ".join(f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in joined)


def classes() -> dict[str, set[str]]:
    found = {name: matching(expression) for name, expression in ONIGURUMA.items()}
    return found | {
        "regex_word": regex_word(),
        "numeric": alone(pre_tokenizers.Digits(True)),
        "punctuation": alone(pre_tokenizers.Punctuation()),
        "bert_control": taken_away(bert(clean_text=True)),
        "nonspacing": taken_away(bert(strip_accents=True)),
        "combining": taken_away(normalizers.StripAccents().normalize_str),
        "normalizing": normalizing(),
        **{f"grapheme_{name}": members for name, members in graphemes(found).items()},
    }


def lowercase() -> str:
    lower = normalizers.Lowercase().normalize_str
    young = [char for char in CHARACTERS if unicodedata.ucd_3_2_0.category(char) == "Cn"]
    return " ".join(f"{ord(c):x}>{ord(lower(c)):x}" for c in young if lower(c) != c)


def main() -> None:
    lines = [f"{name} {ranges(members)}\n" for name, members in classes().items()]
    lines.append(f"lowercase {lowercase()}\n")
    CLASSES.write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
