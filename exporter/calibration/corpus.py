"""Windows of tokens to calibrate with: from text, or from ids as they are."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from edge.errors import SourceError

from ..architectures.lowered import Lowered
from ..sources import TokenizerFiles

SELF, SELF_WINDOWS = "self", 24  # what the model writes
WINDOW = 512
MOST_WINDOWS = 128
SENTENCE = 32  # tokens of an encoder's window: its first and last ones weigh as they do in use


Around = tuple[tuple[int, ...], tuple[int, ...]]  # ids that windows begin and end with
Text = str | Path | np.ndarray


def own_and_text(calib: Text) -> tuple[bool, Text | None]:
    """Whether the model writes windows itself ("self", "self+TEXT"), and what is read besides.

    Raises SourceError for "self+".
    """
    if not isinstance(calib, str):
        return False, calib
    own, plus, text = calib.partition("+")
    if own != SELF:
        return False, calib
    if plus and not text:
        raise SourceError(f"--calib {calib}: no file after the +; name one, or leave the + out")
    return True, text if plus else None


def mixed(text: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Windows of a text with the model's own spread evenly among them."""
    at = np.arange(len(own)) * len(text) // len(own)
    return np.insert(text, at, own, axis=0)


def windows_for(
    model: Lowered,
    calib: Text,
    tokenizer: TokenizerFiles | None,
    most: int = MOST_WINDOWS,
) -> np.ndarray:
    """`windows` as a model reads them: of an encoder more and shorter ones, as its texts are.

    Raises SourceError, also for ids that are longer than an encoder can read.
    """
    c = model.config
    if model.kind == "decoder":
        return windows(calib, tokenizer, c.vocabulary, most)
    around = ((), ()) if tokenizer is None else (tokenizer.before, tokenizer.after)
    size = min(SENTENCE, c.context)
    cut = windows(calib, tokenizer, c.vocabulary, most * WINDOW // SENTENCE, size, around)
    if cut.shape[1] > c.context:
        raise SourceError(f"windows of {cut.shape[1]} tokens; this encoder reads {c.context}")
    return cut


def windows(
    calib: Text,
    tokenizer: TokenizerFiles | None,
    vocabulary: int,
    most: int = MOST_WINDOWS,
    size: int = WINDOW,
    around: Around | None = None,
) -> np.ndarray:
    """int64 [windows, tokens] of a text file, a folder of them, a .npy of ids, or ids.

    Windows of a long text lie evenly over it, `size` tokens each with those `around`, which take
    the places of the first and last; if none are given, the one that begins texts.  Raises
    SourceError if there is not even one.
    """
    if isinstance(calib, np.ndarray):
        return _checked(calib, "the array", vocabulary)
    path = Path(calib)
    if path.suffix == ".npy":
        return _checked(np.load(path, allow_pickle=False), str(path), vocabulary)
    if tokenizer is None:
        raise SourceError(f"{path}: this model has no tokenizer; give token ids (.npy) instead")
    if around is None:
        bos = tokenizer.bos if tokenizer.add_bos else None
        around = () if bos is None else (bos,), ()
    return _spread(_ids(path, tokenizer), path, most, size, around)


def _checked(ids: np.ndarray, where: str, vocabulary: int) -> np.ndarray:
    if ids.ndim != 2 or not ids.size or ids.dtype.kind not in "iu":
        raise SourceError(
            f"{where}: {ids.dtype} of shape {list(ids.shape)}, expected token ids [windows, tokens]"
        )
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        wrong = low if low < 0 else high
        raise SourceError(f"{where}: token id {wrong}, expected 0..{vocabulary - 1}")
    return ids.astype(np.int64)


def record(calib: object, statistics: dict[str, Any]) -> dict[str, str]:
    """What a file keeps of it: a name, and the hash of the text or of `statistics`' identity."""
    hashed = json.dumps(statistics, sort_keys=True)
    text = own_and_text(calib)[1] if isinstance(calib, Text) else None
    if not isinstance(text, str | Path):
        name = SELF if isinstance(calib, str) else "token ids"
    else:
        name = Path(text).name
        hashed = hashed if Path(text).suffix == ".npy" else _text(Path(text))
    return {"name": line(name), "sha256": _sha256(hashed)}


def line(name: str) -> str:
    """A file's name as a header may have it."""
    return "".join(c if c.isprintable() else "?" for c in name)[:200]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _text(path: Path) -> str:
    return "\n".join(
        file.read_text(encoding="utf-8", errors="replace") for file in _text_files(path)
    )


def _ids(path: Path, tokenizer: TokenizerFiles) -> np.ndarray:
    encoder = Tokenizer.from_str(tokenizer.json.decode())
    encoder.no_truncation()
    encoder.no_padding()
    return np.array(encoder.encode(_text(path), add_special_tokens=False).ids, np.int64)


def _text_files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in (".txt", ".md", ".text"))
        if not found:
            raise SourceError(f"{path}: no .txt, .text or .md file to calibrate with")
        return found
    if not path.is_file():
        raise SourceError(f"no such file or folder to calibrate with: {path}")
    return [path]


def _spread(ids: np.ndarray, path: Path, most: int, size: int, around: Around) -> np.ndarray:
    available = len(ids) // size
    if not available:
        raise SourceError(
            f"{path}: {len(ids)} tokens, a window has {size}; give a text of some pages"
        )
    count = min(most, available)
    starts = np.arange(count) * (len(ids) - size) // max(1, count - 1)
    cut: np.ndarray = ids[starts[:, None] + np.arange(size)]
    before, after = around
    cut[:, : len(before)] = before
    cut[:, size - len(after) :] = after
    return cut
