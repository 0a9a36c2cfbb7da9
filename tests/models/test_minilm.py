"""all-MiniLM-L6-v2, a true float32 checkpoint, through the whole path."""

import pydoc_data.topics
import re

import bert_oracle
import numpy as np
import pytest

import edge
from edge.exporter import export
from edge.exporter.architectures import lower
from edge.exporter.calibration.corpus import windows_for
from edge.exporter.sources import open_source

MINILM = "minilm_l6"
SENTENCES = 200


@pytest.fixture(scope="module")
def embedded(test_data, tmp_path_factory):
    """Vectors of the sentences by recipe."""
    source, folder, made = test_data(MINILM), tmp_path_factory.mktemp("minilm"), {}

    def vectors(quant: str, calib: np.ndarray | None = None) -> np.ndarray:
        if quant not in made:
            export(source, path := folder / f"{quant}.edge", quant=quant, calib=calib)
            with edge.load(path, threads=2) as encoder:
                made[quant] = encoder.embed(sentences())
            path.unlink()
        return made[quant]

    return vectors


@pytest.fixture(scope="module")
def windows(test_data, tmp_path_factory):
    """What calibration reads of Python's documentation: of 2048 windows one in eight."""
    source = open_source(test_data(MINILM))
    (path := tmp_path_factory.mktemp("text") / "a.txt").write_text(documentation())
    return windows_for(lower(source), path, source.tokenizer())[::8]


def documentation() -> str:
    """Of Python, which every Python carries."""
    topics = pydoc_data.topics.topics
    return " ".join(" ".join(topics[key].split()) for key in sorted(topics))


def sentences() -> list[str]:
    text = documentation()
    found = [s for s in re.split(r"(?<=[.!?]) ", text) if 30 <= len(s) < 250]
    return [found[i * len(found) // SENTENCES] for i in range(SENTENCES)]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1, dtype=np.float64)


def test_float32_vectors_are_those_of_a_float64_oracle(test_data, tmp_path):
    """Within 1e-4 of their length; a text of two tokens, and one that is cut."""
    source = open_source(test_data(MINILM))
    export(source, tmp_path / "m.edge", quant="float32")
    some = [*sentences()[:8], "", "x", "word " * 300]
    bert = bert_oracle.Bert(source)
    with edge.load(tmp_path / "m.edge", threads=2) as encoder:
        found, ids = encoder.embed(some), encoder.tokenize(some)
    assert max(map(len, ids)) == 256
    expected = np.stack([bert.hidden(np.array(text)).mean(axis=0) for text in ids])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert (np.linalg.norm(found - expected, axis=1) < 1e-4).all()


@pytest.mark.parametrize(
    "quant, mean, worst",
    [("int8", 0.998, 0.995), ("int8-g0", 0.997, 0.99), ("int4", 0.96, 0.9)],
)
def test_quantized_vectors_point_where_float32s_do(embedded, quant, mean, worst):
    found = cosines(embedded(quant), embedded("float32"))
    assert found.mean() >= mean and found.min() >= worst


@pytest.mark.parametrize(
    "quant, mean, worst", [("int8-g0:outliers", 0.999, 0.998), ("int4:gptq", 0.991, 0.95)]
)
def test_vectors_by_a_text_point_there_more_nearly(embedded, windows, quant, mean, worst):
    found = cosines(embedded(quant, windows), embedded("float32"))
    assert found.mean() >= mean and found.min() >= worst


def test_sentences_that_mean_the_same_are_nearer(test_data, tmp_path):
    export(test_data(MINILM), tmp_path / "m.edge", quant="int8")
    with edge.load(tmp_path / "m.edge") as encoder:
        a, b, c = encoder.embed(
            [
                "A man is eating food.",
                "Someone is having a meal.",
                "The parliament voted on the new budget.",
            ]
        )
    assert a @ b > 0.6 and max(a @ c, b @ c) < 0.2
