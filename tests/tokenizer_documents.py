"""tokenizer.json documents to try components with, and both packages' readings of them compared."""

import gzip
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Rust

from edge.runtime.pytokenizers import Tokenizer as Python
from edge.runtime.tokenizer import Tokenizer

GOLDEN = Path(__file__).parent / "golden"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
# Two models that show what the steps before them did: the bytes of the text; and where words end,
# as each becomes one unknown token.
TO_BYTES = {
    "type": "BPE",
    "vocab": {token: i for i, token in enumerate(BYTES)},
    "merges": [],
    "byte_fallback": True,
}
TO_WORDS = {
    "type": "BPE",
    "vocab": {"<unk>": 0},
    "merges": [],
    "unk_token": "<unk>",
    "fuse_unk": True,
}
# What tells implementations apart: marks in and out of order, spaces that are none, characters
# younger than some Unicode tables, ligatures, emoji in parts, text that looks like a token.
HARD = [
    "",
    " ",
    "'s't 'RE isn't DON'T 'ſ 'K I'm\t\n 'll\r\n",
    "e\u0301\u0302 e\u0323\u0301 e\u0301\u0323 \u0301x \u00e9\u0323 \u1100\u1161\u11a8 가\u11a8 각",
    "ﬁ ﬀ ﬆ ß ẞ İ ı ǅ Σας ŉ ² ½ Ⅷ ㊿ ㍿ ﷺ ㋿ ™ ® ©\ufe0f",
    "a\u00a0b\u2003c\u3000d\u200be\u2028f\x85g\x1ch\x0bi\x00j\ufeffk\ufffdl\u00adm\u2581n",
    "\U00011935\U00011930 \U00011938 \U000105d2\u0307 \U00016d67\U00016d67 \ua7cb \U00010d50 \u1c89",
    "\u07fd\u0898a\u0301 \U0001e030 \ua7f2 x\u09fe\u0345",
    "\u0600e\u0301 \u0890x \U000110bd1 \u06dd٣",
    "👩‍👩‍👧‍👦🇩🇪❤️ 1️⃣ ©\u200d® 𝔘𝟙𠀀",
    "नमस्ते क्षत्रिय १२३ สวัสดี ๑๒๓ กำ 你好123東京カナ안녕",
    "a,b.c!d-e_f/g\\h^i`j~k|l$m+n<o>p=q«r»s…t、u。",
    "  two   three    four \n\n\n \t\t x ",
    "<s>a</s> <|x|> <|xy|><|xyz|> day Day DAY days [DAY] aday</s></s>  <|x|>",
]


def golden_lines() -> list[str]:
    """A thousand lines of mixed text."""
    lines: list[str] = json.loads(
        gzip.decompress((GOLDEN / "tokenizer_smollm2.json.gz").read_bytes())
    )["lines"]
    return lines


def step(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def document(model: dict[str, Any] = TO_BYTES, **parts: Any) -> str:
    """A document of the given parts: normalizer, pre_tokenizer, decoder, post_processor, ..."""
    names = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    whole = {"version": "1.0", **dict.fromkeys(names), "added_tokens": [], "model": model}
    return json.dumps(whole | parts, ensure_ascii=False)


def added(first: int, *contents: str, **flags: bool) -> list[dict[str, Any]]:
    """Added tokens with ids from `first` on."""
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return [off | {"id": first + i, "content": c} | flags for i, c in enumerate(contents)]


class Pair:
    """A document as both packages read it."""

    def __init__(self, text: str):
        self.rust: Any = Rust.from_str(text)
        self.python = Python.from_str(text)
        self.rust.no_truncation()
        self.rust.no_padding()

    def check(self, text: str) -> None:
        """Same ids, offsets and decoded text, whether special tokens count or not."""
        for as_text in (False, True):
            for tokenizer in (self.rust, self.python):
                tokenizer.encode_special_tokens = as_text
            theirs = self.rust.encode(text, add_special_tokens=False)
            ours = self.python.encode(text, add_special_tokens=False)
            assert ours.ids == theirs.ids
            assert ours.offsets == theirs.offsets
            for skip in (False, True):
                assert self.python.decode(ours.ids, skip_special_tokens=skip) == self.rust.decode(
                    theirs.ids, skip_special_tokens=skip
                )

    def of_edge(self) -> list[Tokenizer]:
        """Both as edge uses them."""
        size = self.rust.get_vocab_size(with_added_tokens=True)
        return [Tokenizer(engine, size) for engine in (self.rust, self.python)]
