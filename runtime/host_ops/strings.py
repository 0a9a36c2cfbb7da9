"""Texts: arrays of objects that are str."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .registry import op

CASES: dict[str, Callable[[str], str]] = {"LOWER": str.lower, "UPPER": str.upper, "NONE": str}


def texts(values: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape)


def each(x: np.ndarray, function: Callable[[str], Any], dtype: Any = object) -> np.ndarray:
    found = np.empty(x.size, dtype)
    found[:] = [function(text) for text in x.ravel()]
    return found.reshape(x.shape)


@op("StringConcat", shaped_by=None)
def string_concat(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = np.broadcast_arrays(a, b)
    return texts([x + y for x, y in zip(a.ravel(), b.ravel(), strict=True)], a.shape)


@op("StringSplit", shaped_by=None)
def string_split(
    x: np.ndarray, *, delimiter: str = "", maxsplit: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """Parts along a new axis, filled up with ""; and how many each text has."""
    parts = [text.split(delimiter or None, maxsplit) for text in x.ravel()]
    counts = np.array([len(p) for p in parts], np.int64)
    most = int(counts.max(initial=0))
    filled = [part for p in parts for part in (*p, *[""] * (most - len(p)))]
    return texts(filled, (*x.shape, most)), counts.reshape(x.shape)


@op("RegexFullMatch", shaped_by=None)
def regex_full_match(x: np.ndarray, *, pattern: str) -> np.ndarray:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r:.80}: {error}") from None
    return each(x, lambda text: compiled.fullmatch(text) is not None, bool)


@op("StringNormalizer", shaped_by=None)
def string_normalizer(
    x: np.ndarray,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    locale: str = "",
    stopwords: Sequence[str] = (),
) -> np.ndarray:
    """[C] or [1, C] words without stop words, in another case; one "" if no word is left."""
    case = CASES[case_change_action]
    same = CASES["NONE" if is_case_sensitive else "LOWER"]
    stops = {same(word) for word in stopwords}
    kept = [case(word) for word in x.ravel() if same(word) not in stops] or [""]
    return texts(kept, (1, len(kept)) if x.ndim == 2 else (len(kept),))


def _grams(words: Sequence[Any], lengths: range, skips: range) -> Iterator[tuple[Any, ...]]:
    """Every run of words of these lengths, with so many left out between neighbours."""
    for length in lengths:
        for step in skips if length > 1 else range(1):
            reach = (length - 1) * (step + 1)
            for start in range(len(words) - reach):
                yield tuple(words[start : start + reach + 1 : step + 1])


@op("TfIdfVectorizer", shaped_by=None)
def tf_idf_vectorizer(
    x: np.ndarray,
    *,
    min_gram_length: int,
    max_gram_length: int,
    max_skip_count: int,
    mode: str,
    ngram_counts: Sequence[int],
    ngram_indexes: Sequence[int],
    pool_int64s: Sequence[int] = (),
    pool_strings: Sequence[str] = (),
    weights: Sequence[float] = (),
) -> np.ndarray:
    """How often each n-gram of the pool occurs (TF), weighed (TFIDF), or whether (IDF).

    ngram_counts   where in the pool the 1-grams, 2-grams, ... begin
    ngram_indexes  the place in the output of each n-gram of the pool
    """
    pool = list(pool_strings or pool_int64s)
    ends = [*ngram_counts[1:], len(pool)]
    listed = [
        tuple(pool[at : at + length])
        for length, (start, end) in enumerate(zip(ngram_counts, ends, strict=True), 1)
        for at in range(start, end, length)
    ]
    place = {gram: i for i, gram in enumerate(listed)}
    rows = x.reshape(-1, x.shape[-1]) if x.ndim else x.reshape(1, 1)
    y = np.zeros((len(rows), max(ngram_indexes, default=-1) + 1), np.float32)
    lengths, skips = range(min_gram_length, max_gram_length + 1), range(max_skip_count + 1)
    for row, words in zip(y, rows.tolist(), strict=True):
        for gram in _grams(words, lengths, skips):
            if gram in place:
                row[ngram_indexes[place[gram]]] += 1
    if mode != "TF":
        factors = np.ones(y.shape[1], np.float32)
        if weights:
            factors[list(ngram_indexes)] = weights
        y = (y if mode == "TFIDF" else np.minimum(y, 1)) * factors
    return y.reshape(*x.shape[:-1], y.shape[1])
