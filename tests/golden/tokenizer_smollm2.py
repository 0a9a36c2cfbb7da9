"""Writes tokenizer_smollm2.json.gz: lines of mixed text and llama.cpp's ids for them.

    python tests/golden/tokenizer_smollm2.py LLAMA_TOKENIZE SMOLLM2_GGUF

LLAMA_TOKENIZE is llama.cpp's tool; special tokens written in the text count as such.
"""

import ast
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

GOLDEN = Path(__file__).with_suffix(".json.gz")

WORDS = (
    *("the", "model", "isn't", "larger", "than", "I'd", "thought", "we'll", "they've"),
    *("can't", "O'Neil's", "DON'T", "naïve", "café", "Zürich", "straße", "smörgåsbord"),
    *("encyclopædia", "co-operate", "e.g.", "i.e.", "#hashtag", "@user", "foo@bar.org"),
    *("https://example.org/a?b=c&d=%20e", "3.14159", "1,234,567.89", "-42"),
    *("0xDEADBEEF", "1e-05", "v2.0.1", "50%", "$9.99"),
)
CODE = (
    "def f(x: int) -> list[int]:\n\treturn [x**2 for _ in range(10)]",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * 0.5f; }",
    '    if (ptr != NULL && !strcmp(s, "a\\tb")) {\n        goto done;  // never\n    }',
    '{"key": [1, 2.5e-3, null, true], "nested": {"a": "\\u00e9"}}',
    "SELECT * FROM t WHERE a >= 10 AND b LIKE '%x%';",
    "<div class='a'>&nbsp;<!-- c --></div>",
    "x = lambda self, *args, **kwargs: super().__init__(*args, **kwargs)",
    'fn main() -> Result<(), Box<dyn Error>> { println!("{:?}", v); Ok(()) }',
    "a\t\tb\r\n\r\nc = d ^ e | ~f << 2;",
)
EMOJI = (
    *("😀", "😶‍🌫️", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪🇯🇵", "❤️", "✅"),
    *("🦙", "🏳️‍🌈", "🤷🏿‍♀️", "☕︎", "1️⃣", "™", "©"),
)
PHRASES = (
    "我想在苹果工作1314151天～",
    "東京都に行きました。カタカナとひらがな、半角ｶﾅ。",
    "안녕하세요, 세계! 한국어 텍스트입니다 ㅋㅋㅋ",
    "нещо на Български и русский текст",
    "Ελληνικά κείμενο με τόνους",
    "مرحبا بالعالم ١٢٣٤",
    "שלום עולם",
    "नमस्ते दुनिया १२३ क्षत्रिय",
    "สวัสดีชาวโลก ๑๒๓",
    "កាន់តែពិសេសអាចខលចេញ",
    "ðŋđħ ½ ² Ⅷ ㊿ ₃ ﬁ ĳ İı ǅ",
    "e\u0301 a\u0300\u0323 o\u0302\u0301",
    "“quotes” ‘single’ — dash – en … « guillemets »",
    "†‡§¶•‰№∑∫√≠≤≥±×÷∞",
)
SPECIAL = (
    "<|im_start|>user\nHi<|im_end|>\n",
    "<|endoftext|>",
    "<|im_end|>",
    "<|im_start|>",
    "<|im_",
    "start|>",
    "<repo_name>",
    "<file_sep>",
    "<jupyter_code>",
    "<s></s>[INST]",
)
BLANKS = (
    *(" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n"),
    *("\u00a0", "\u3000", "\u2003", "\u200b", "\u2028"),
)
LETTERS = ((0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0x3041, 0x30FE), (0x0410, 0x044F), (0x00A1, 0x017E))


def mixed_text(seed: int, lines: int) -> list[str]:
    """`lines` texts, none of them empty, each of one to six fragments of different kinds."""
    random = Random(seed)
    return [
        "".join(random.choice(FRAGMENTS)(random) for _ in range(random.randint(1, 6)))
        for _ in range(lines)
    ]


def _words(random: Random) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(1, 8)))


def _blanks(random: Random) -> str:
    return "".join(
        random.choice(BLANKS) * random.randint(1, 9) for _ in range(random.randint(1, 3))
    )


def _digits(random: Random) -> str:
    return str(random.randrange(10 ** random.randint(1, 12))) + random.choice(["", ".", ",", " %"])


def _letters(random: Random) -> str:
    first, last = random.choice(LETTERS)
    return "".join(chr(random.randint(first, last)) for _ in range(random.randint(1, 12)))


def _punctuation(random: Random) -> str:
    return "".join(random.choices("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", k=random.randint(1, 10)))


def _one_of(choices: tuple[str, ...] | list[str]) -> Callable[[Random], str]:
    return lambda random: random.choice(choices)


FRAGMENTS = (
    _words,
    _words,
    _blanks,
    _digits,
    _letters,
    _punctuation,
    _one_of(CODE),
    _one_of(EMOJI),
    _one_of(PHRASES),
    _one_of(SPECIAL),
)


def main() -> None:
    tool, model = sys.argv[1:]
    lines = mixed_text(seed=0, lines=1000)
    ids = [_llama_cpp_ids(tool, model, line) for line in lines]
    text = json.dumps({"lines": lines, "ids": ids}, ensure_ascii=False, separators=(",", ":"))
    GOLDEN.write_bytes(gzip.compress(text.encode(), mtime=0))


def _llama_cpp_ids(tool: str, model: str, text: str) -> list[int]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        command = [tool, "-m", model, "-f", file.name, "--ids", "--no-bos", "--no-escape"]
        done = subprocess.run(command, capture_output=True, check=True)
    ids: list[int] = ast.literal_eval(done.stdout.decode().strip().splitlines()[-1])
    return ids


if __name__ == "__main__":
    main()
