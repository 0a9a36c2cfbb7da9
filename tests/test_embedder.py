"""`edge.load` of a sentence encoder, through the public names only."""

import numpy as np
import pytest
import tiny_encoder
from tiny_encoder import BEGIN, CONTEXT, END, LETTERS, UNKNOWN

import edge
from edge.runtime import tokenizer as runtime_tokenizer
from edge.runtime.pytokenizers import Tokenizer as PythonTokenizer


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_encoder.write(tmp_path_factory.mktemp("tiny") / "tiny.edge")


@pytest.fixture(scope="module")
def encoder(path):
    with edge.load(path, threads=1) as embedder:
        yield embedder


def ids(text: str) -> list[int]:
    """Of one word."""
    first, *rest = (len(tiny_encoder.SPECIAL) + LETTERS.index(letter) for letter in text)
    return [BEGIN, first, *(i + len(LETTERS) for i in rest), END]


def test_vectors_have_unit_length_and_one_row_a_text(encoder):
    vectors = encoder.embed(["abc", "a longer text", "abc"])
    assert vectors.dtype == np.float32 and vectors.shape == (3, encoder.dimension)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6
    assert (vectors[0] == vectors[2]).all() and vectors[0] @ vectors[1] < 0.999


def test_special_tokens_are_put_around_a_text(encoder):
    assert encoder.tokenize(["Abc", "q"]) == [ids("abc"), ids("q")]


def test_the_python_tokenizer_reads_texts_alike(path, encoder, monkeypatch):
    texts = ["abc", "", "x" * 50, "ünïcode \N{GRINNING FACE} [SEP] z", "\ud800\n\t a"]
    monkeypatch.setattr(runtime_tokenizer, "engine", lambda: PythonTokenizer)
    with edge.load(path, threads=1) as other:
        assert other.tokenize(texts) == encoder.tokenize(texts)


def test_an_empty_text_is_its_special_tokens(encoder):
    assert encoder.tokenize([""]) == [[BEGIN, END]]
    assert np.isfinite(encoder.embed(["", "  "])).all()


def test_no_texts_are_no_vectors(encoder):
    assert encoder.embed([]).shape == (0, encoder.dimension)


def test_a_text_beyond_the_models_length_is_cut_and_noted(path):
    notes = []
    with edge.load(path, threads=1, note=notes.append) as encoder:
        whole, cut = encoder.tokenize(["a" * (CONTEXT - 2), "a" * 40])
        assert cut == whole == ids("a" * (CONTEXT - 2))
        vectors = encoder.embed(["a" * (CONTEXT - 2), "a" * 40])
    assert (vectors[0] == vectors[1]).all()
    assert notes[0] == f"text 2: 42 tokens, the model reads the first {CONTEXT}"


def test_unusual_unicode_is_text(encoder):
    odd = ["\N{GRINNING FACE}", "\ud800", "\x00\x01", "a\u0301", "\N{ZERO WIDTH JOINER}"]
    tokens = encoder.tokenize(odd)
    assert tokens[0] == [BEGIN, UNKNOWN, END] and tokens[3] == ids("a")
    assert np.isfinite(encoder.embed(odd)).all()


def test_ids_are_as_good_as_texts(encoder):
    texts = ["abc", "xyz 12"]
    assert (encoder.embed(encoder.tokenize(texts)) == encoder.embed(texts)).all()


@pytest.mark.parametrize(
    "texts, message",
    [
        ("abc", "expected a list of texts, found one text"),
        (["a", 3], "text 2: expected a string, found int"),
        ([b"a"], "text 1: expected a string, found bytes"),
        ([[2, 99]], "token id 99, expected 0..79"),
    ],
)
def test_what_is_no_list_of_texts_is_one_line(encoder, texts, message):
    with pytest.raises(edge.EdgeError, match=message):
        encoder.embed(texts)


def test_progress_hears_of_texts(encoder):
    heard = []
    encoder.embed(["a", "b"], lambda done, total: heard.append((done, total)))
    assert heard == [(2, 2)]


def test_a_language_model_is_not_an_encoder(tmp_path):
    import tiny_model

    from edge.embedder import load

    with pytest.raises(edge.UnsupportedModel, match="edge run .*tiny.edge PROMPT"):
        load(tiny_model.write(tmp_path / "tiny.edge"))


def test_an_encoder_is_not_a_language_model(path):
    from edge.session import load

    with pytest.raises(edge.UnsupportedModel, match="edge embed .*tiny.edge TEXT"):
        load(path)


def test_a_source_is_sent_to_the_exporter(tmp_path):
    with pytest.raises(edge.FormatError, match="edge export"):
        edge.load(tiny_encoder.folder(tmp_path / "source"))
