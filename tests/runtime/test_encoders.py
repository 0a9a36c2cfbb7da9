"""Encoders against transformers and a float64 oracle: tiny random checkpoints, texts in one step."""

from pathlib import Path

import bert_oracle
import numpy as np
import pytest

from edge.errors import DoesNotFit, EdgeError
from edge.exporter import export
from edge.exporter.sources import open_source
from edge.format.reader import EdgeFile
from edge.runtime.encoder import Encoder
from edge.runtime.libraries.plain import NumpyLibrary
from edge.runtime.pooling import pooled

GOLDEN = Path(__file__).parent.parent / "golden" / "encoders"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
# Of hidden states of order 1: layers of float32 sums, GELU good to 1e-6.  tests/golden/
# make_encoders.py makes sure that every feature moves them by ten times as much.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """An exported golden checkpoint, made once."""
    folder, made = tmp_path_factory.mktemp("encoders"), {}

    def file(case: str, quant: str) -> EdgeFile:
        if (case, quant) not in made:
            path = folder / f"{case}-{quant}.edge"
            export(GOLDEN / case, path, quant=quant)
            made[case, quant] = EdgeFile(path)
        return made[case, quant]

    return file


def texts(case: str) -> tuple[list[list[int]], np.ndarray]:
    """Ids, and the hidden states that transformers gives them."""
    expected = np.load(GOLDEN / case / "expected.npz")
    ends = np.cumsum(expected["lengths"])[:-1]
    return [ids.tolist() for ids in np.split(expected["tokens"], ends)], expected["hidden"]


def hidden(encoder: Encoder, ids: list[list[int]]) -> np.ndarray:
    """All tokens' vectors of one step."""
    encoder.embed(ids)
    return encoder._program.hidden[: sum(map(len, ids))].copy()


def expected_vectors(case: str, file: EdgeFile) -> np.ndarray:
    ids, states = texts(case)
    starts = np.cumsum([0, *map(len, ids[:-1])])
    c = file.config
    return pooled(states, starts, c.pooling, c.normalize)


@pytest.mark.parametrize("case", CASES)
def test_the_oracle_agrees_with_transformers(case):
    ids, states = texts(case)
    bert = bert_oracle.Bert(open_source(GOLDEN / case))
    found = np.concatenate([bert.hidden(np.array(text)) for text in ids])
    assert np.abs(found - states).max() < 1e-9


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_float32_hidden_states_agree_with_transformers(packed, case, threads):
    ids, states = texts(case)
    encoder = Encoder(packed(case, "float32"), threads=threads)
    assert np.abs(hidden(encoder, ids) - states).max() < TOLERANCE
    encoder.close()


@pytest.mark.parametrize("case", CASES)
def test_numpy_kernels_agree_too(packed, case):
    ids, states = texts(case)
    encoder = Encoder(packed(case, "float32"), kernels=NumpyLibrary())
    assert np.abs(hidden(encoder, ids) - states).max() < TOLERANCE
    encoder.close()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "quant, least", [("float16", 0.99999), ("int8", 0.999), ("int8-g0", 0.998)]
)
def test_quantized_embeddings_point_the_same_way(packed, case, quant, least):
    file = packed(case, quant)
    encoder = Encoder(file, threads=2)
    found, expected = encoder.embed(texts(case)[0]), expected_vectors(case, file)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((found * expected).sum(axis=1) / norms).min() > least
    encoder.close()


def test_a_text_is_embedded_alike_alone_and_beside_others_and_in_many_steps(packed):
    ids, _ = texts("bert")
    together = Encoder(packed("bert", "int8"), threads=2)
    apart = Encoder(packed("bert", "int8"), threads=1, tokens=24)
    many = [ids[i % len(ids)] for i in range(40)]
    expected = np.concatenate([apart.embed([text]) for text in many])
    # A product of 8 tokens adds in another order than one of 1; codes at a tie may then differ.
    assert np.abs(together.embed(many) - expected).max() < 1e-3
    assert np.abs(apart.embed(many) - expected).max() < 1e-3
    together.close()
    apart.close()


def test_progress_counts_texts(packed):
    encoder, done = Encoder(packed("bert", "float32"), threads=1, tokens=24), []
    vectors = encoder.embed([[5] * 20, [6] * 20, [7] * 3], done.append)
    assert done == [1, 3] and vectors.shape == (3, 64)
    assert encoder.embed([], done.append).shape == (0, 64) and done == [1, 3]
    encoder.close()


@pytest.mark.parametrize(
    "ids, message",
    [
        ([[]], "text 1 has 0 tokens, the model reads 1..24"),
        ([[5], [5] * 25], "text 2 has 25 tokens"),
        ([[5, 80]], "token id 80, expected 0..79"),
        ([[-1]], "token id -1"),
        ([[5, float("nan")]], "text 1: expected token ids"),
        ([[2**80]], "text 1: expected token ids"),
        ([[[5]]], "text 1: expected token ids"),
        ([["5"]], "text 1: expected token ids"),
    ],
)
def test_what_kernels_must_not_see_is_refused(packed, ids, message):
    encoder = Encoder(packed("bert", "float32"), threads=1)
    with pytest.raises(EdgeError, match=message):
        encoder.embed(ids)
    encoder.close()


def test_numbers_that_make_no_sense_are_refused(packed, monkeypatch):
    file = packed("bert", "float32")
    for wrong in ({"threads": 0}, {"tokens": -1}):
        with pytest.raises(EdgeError, match="expected at least 1"):
            Encoder(file, **wrong)
    monkeypatch.setattr("edge.runtime.model.available_memory", lambda: 1000)
    with pytest.raises(DoesNotFit, match="working memory"):
        Encoder(file)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_pooling_is_what_its_name_says(pooling):
    states = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    parts = states[:1], states[1:4], states[4:]
    plain = {
        "mean": lambda x: x.mean(axis=0),
        "cls": lambda x: x[0],
        "max": lambda x: x.max(axis=0),
    }
    expected = np.stack([plain[pooling](part) for part in parts])
    found = pooled(states, np.array([0, 1, 4]), pooling, False)
    assert np.abs(found - expected).max() < 1e-6
    unit = pooled(states, np.array([0, 1, 4]), pooling, True)
    assert np.abs(np.linalg.norm(unit, axis=1) - 1).max() < 1e-6
    assert (pooled(np.zeros((2, 4), np.float32), np.array([0]), pooling, True) == 0).all()
