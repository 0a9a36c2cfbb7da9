r"""How byte-level vocabularies cut a text into words before merging, by the name GGUF gives it.

GGUF stores only a name (tokenizer.ggml.pre); what it stands for is code in llama.cpp
(src/llama-vocab.cpp). Each entry here is that code: regular expressions that cut one after
the other, every match and every gap becoming a piece. Where llama.cpp spells out cases because
its engine lacks (?i:...), the expression of the model's own tokenizer.json stands here.
"""

from dataclasses import dataclass

from edge.errors import UnsupportedModel

SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # English contractions
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SYMBOLS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
# A word of mixed case is cut before a capital that follows small letters.
SMALL = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CAPITAL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}*{SMALL}+"
CAPITALS = rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}+{SMALL}*"
PATHS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{SUFFIX}|{LETTERS}|\p{{N}}{{1,3}}{SYMBOLS}{SPACES}"
QWEN2 = rf"{SUFFIX}|{LETTERS}|\p{{N}}{SYMBOLS}{SPACES}"
QWEN35 = (
    rf"{SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*{SPACES}"
)
TEKKEN = rf"{CASED}|{CAPITALS}|\p{{N}}{PATHS}{SPACES}"
GPT4O = rf"{CASED}{SUFFIX}?|{CAPITALS}{SUFFIX}?|\p{{N}}{{1,3}}{PATHS}{SPACES}"
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + SPACES
)
BAILING = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
SEED = rf"{SUFFIX}|{LETTERS}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+{SPACES}"
EXAONE_MOE = (
    rf"{SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
)
MINICPM5 = rf"{SUFFIX}|{LETTERS}|\p{{N}}+{SYMBOLS}{SPACES}"
THREE_DIGITS = r"[0-9][0-9][0-9]"
MULTILINGUAL = r" ?[^(\s|.,!?…。，、।۔،)]+"
HAN_OR_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
# deepseek-llm spells out the cased letters it knows; escaped, as many look alike.
DEEPSEEK_LETTERS = (
    r"\s?[A-Za-z"
    "\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
    "\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5"
    "\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
    "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115"
    "\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149"
    "\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"
    "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
    "]+"
)
DEEPSEEK_SYMBOLS = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"


@dataclass(frozen=True)
class Pretokenizer:
    """
    patterns       cut the text one after the other
    nfc            the text is composed first (Unicode NFC), as the model's authors do
    ignore_merges  a word that is a token stays whole whatever the merges say
    add_bos        what tokenizer.ggml.add_bos_token means when it is absent
    """

    patterns: tuple[str, ...]
    nfc: bool = False
    ignore_merges: bool = False
    add_bos: bool = False


FAMILIES = (
    (
        Pretokenizer((LLAMA3,), ignore_merges=True, add_bos=True),
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
    ),
    (Pretokenizer((LLAMA3,)), ("dbrx", "smaug-bpe", "chatglm-bpe")),
    (Pretokenizer((LLAMA3,), ignore_merges=True), ("glm4",)),
    (Pretokenizer((r"\p{N}{1,3}", MINICPM5), ignore_merges=True), ("minicpm5",)),
    (
        Pretokenizer((QWEN2,), nfc=True),
        ("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2"),
    ),
    (Pretokenizer((QWEN2,)), ("hunyuan", "solar-open", "grok-2")),
    (Pretokenizer((QWEN35,)), ("qwen35",)),
    (Pretokenizer((GPT2,)), ("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4")),
    (Pretokenizer((GPT2,)), ("granite-docling", "gigachat", "a.x-4.0", "mellum")),
    (
        Pretokenizer((r"\p{N}", GPT2)),
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
    ),
    (Pretokenizer((r"\p{N}", GPT2)), ("mellum2",)),
    (Pretokenizer((r"[\p{P}\$\+<=>\^~\|`]+", GPT2, THREE_DIGITS)), ("falcon",)),
    (Pretokenizer((r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", THREE_DIGITS)), ("default",)),
    (
        Pretokenizer(
            (r"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_SYMBOLS, r"\s+$", CJK, r"\p{N}+"),
        ),
        ("deepseek-llm",),
    ),
    (
        Pretokenizer((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}")),
        ("deepseek-coder",),
    ),
    (
        Pretokenizer((r"\p{N}{1,3}", HAN_OR_KANA, DEEPSEEK3)),
        ("deepseek-v3", "hunyuan-dense", "joyai-llm"),
    ),
    (Pretokenizer((TEKKEN,), ignore_merges=True, add_bos=True), ("tekken",)),
    (Pretokenizer((GPT4O,)), ("gpt-4o", "llama4", "kanana2", "minimax-m2")),
    (Pretokenizer((BAILING,)), ("bailingmoe", "bailingmoe2", "llada-moe")),
    (Pretokenizer((SEED,)), ("seed-coder",)),
    (Pretokenizer((EXAONE_MOE,)), ("exaone-moe",)),
    (Pretokenizer((MULTILINGUAL,)), ("poro-chat", "bloom", "gpt3-finnish")),
    (Pretokenizer((MULTILINGUAL, r"\p{N}")), ("viking",)),
)
PRETOKENIZERS = {name: pretokenizer for pretokenizer, names in FAMILIES for name in names}


def pretokenizer(name: str, where: str) -> Pretokenizer:
    """The one of that name; a wrong guess would degrade the model without an error."""
    try:
        return PRETOKENIZERS[name]
    except KeyError:
        raise UnsupportedModel(
            f"{where}: pre-tokenizer {name!r:.80}; edge has {', '.join(PRETOKENIZERS)}"
        ) from None
