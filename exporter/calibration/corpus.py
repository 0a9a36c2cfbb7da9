"""Windows of tokens to calibrate with: from text, or from ids as they are."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from edge.errors import SourceError

from ..sources import TokenizerFiles

SELF, SELF_WINDOWS = "self", 24  # what the model writes
WINDOW = 512
MOST_WINDOWS = 128


def windows(
    calib: str | Path | np.ndarray,
    tokenizer: TokenizerFiles | None,
    vocabulary: int,
    most: int = MOST_WINDOWS,
) -> np.ndarray:
    """int64 [windows, tokens] of a text file, a folder of them, a .npy of ids, or ids.

    Windows of a long text lie evenly over it.  Raises SourceError if there is not even one.
    """
    if isinstance(calib, np.ndarray):
        return _checked(calib, "the array", vocabulary)
    path = Path(calib)
    if path.suffix == ".npy":
        return _checked(np.load(path, allow_pickle=False), str(path), vocabulary)
    if tokenizer is None:
        raise SourceError(f"{path}: this model has no tokenizer; give token ids (.npy) instead")
    return _spread(_ids(path, tokenizer), tokenizer, most, path)


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
    identity = json.dumps(statistics, sort_keys=True)
    if not isinstance(calib, str | Path) or calib == SELF or Path(calib).suffix == ".npy":
        name = Path(calib).name if isinstance(calib, str | Path) else "token ids"
        return {"name": _line(name), "sha256": _sha256(identity)}
    return {"name": _line(Path(calib).name), "sha256": _sha256(_text(Path(calib)))}


def _line(name: str) -> str:
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


def _spread(ids: np.ndarray, tokenizer: TokenizerFiles, most: int, path: Path) -> np.ndarray:
    available = len(ids) // WINDOW
    if not available:
        raise SourceError(
            f"{path}: {len(ids)} tokens, a window has {WINDOW}; give a text of some pages"
        )
    count = min(most, available)
    starts = np.arange(count) * (len(ids) - WINDOW) // max(1, count - 1)
    cut: np.ndarray = ids[starts[:, None] + np.arange(WINDOW)]
    if tokenizer.add_bos and tokenizer.bos is not None:
        cut[:, 0] = tokenizer.bos
    return cut
