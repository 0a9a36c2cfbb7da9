"""The tokenizer files of a Hugging Face folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from edge.errors import SourceError, UnsupportedModel

from . import TokenizerFiles
from .end_of_turn import END_OF_TURN
from .files import read_json_object, read_text
from .tokenizer_json import load

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
MAX_TOKENIZER_BYTES = 512 << 20


def tokenizer_files(folder: Path, bos: Any, ends: Iterable[int]) -> TokenizerFiles | None:
    """What the folder says; `bos` and `ends` are the token ids its configurations name."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        if (folder / "tokenizer.model").is_file() or (folder / "vocab.json").is_file():
            raise UnsupportedModel(
                f"{folder}: no tokenizer.json; make one with transformers: "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            )
        return None
    text = read_text(path, MAX_TOKENIZER_BYTES)
    tokenizer = load(text.encode(), str(path))
    settings_path = folder / "tokenizer_config.json"
    settings = read_json_object(settings_path) if settings_path.is_file() else {}
    bos = _token_id(settings.get("bos_token"), tokenizer, bos)
    before, after = _around(tokenizer)
    return TokenizerFiles(
        json=text.encode(),
        chat_template=_chat_template(folder, settings),
        bos=bos,
        eos=_end_tokens(settings, tokenizer, ends),
        add_bos=bos is not None and before[:1] == (bos,),
        before=before,
        after=after,
    )


def end_token_ids(config: dict[str, Any]) -> list[int]:
    """eos_token_id of a configuration: an id, a list of ids, or nothing."""
    value = config.get("eos_token_id")
    return [i for i in (value if isinstance(value, list) else [value]) if type(i) is int]


def _around(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that the post-processor puts before and after a text."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoding = tokenizer.encode("a")
    special = encoding.special_tokens_mask
    text = [i for i, is_special in enumerate(special) if not is_special] or [len(special)]
    ids = encoding.ids
    return tuple(ids[: text[0]]), tuple(ids[text[-1] + 1 :])


def _token_id(token: Any, tokenizer: Tokenizer, default: Any) -> int | None:
    """The id of a token given as text or as an AddedToken."""
    if isinstance(token, dict):
        token = token.get("content")
    if isinstance(token, str):
        return tokenizer.token_to_id(token)
    return default if type(default) is int else None


def _end_tokens(
    settings: dict[str, Any], tokenizer: Tokenizer, ends: Iterable[int]
) -> tuple[int, ...]:
    named = [*ends, _token_id(settings.get("eos_token"), tokenizer, None)]
    found = [tokenizer.token_to_id(token) for token in END_OF_TURN]
    size = tokenizer.get_vocab_size()
    return tuple(dict.fromkeys(i for i in [*named, *found] if i is not None and 0 <= i < size))


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The file of its own first, as in transformers; of several templates the default."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return read_text(path)
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = [t for t in template if isinstance(t, dict) and t.get("name") == "default"]
        template = named[0].get("template") if named else None
    if template is not None and not isinstance(template, str):
        raise SourceError(f"{folder / 'tokenizer_config.json'}: chat_template is not text")
    return template
