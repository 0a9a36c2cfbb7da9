"""edge embed, and the other verbs on an encoder."""

import io
import json
import sys

import numpy as np
import pytest
import tiny_encoder

import edge


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_encoder.write(tmp_path_factory.mktemp("tiny") / "tiny.edge", "int8"))


class Typed(io.StringIO):
    def isatty(self):
        return True


def test_a_vector_a_line_goes_to_stdout(cli, encoder):
    code, out, err = cli("embed", encoder, "abc", "x y z")
    rows = np.array([json.loads(line) for line in out.splitlines()], np.float32)
    with edge.load(encoder) as embedder:
        assert (rows == embedder.embed(["abc", "x y z"])).all()  # no digit is lost
    assert code == 0 and "2 texts, 10 tokens" in err


def test_json_is_one_document(cli_json, encoder):
    document = cli_json("embed", encoder, "abc", "")
    assert list(document) == ["dimension", "tokens", "embeddings"]
    assert (document["dimension"], document["tokens"]) == (64, [5, 2])
    assert [len(row) for row in document["embeddings"]] == [64, 64]


def test_lines_that_are_piped_in_are_texts(cli_json, encoder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("abc\n\nxyz\n"))
    piped = cli_json("embed", encoder)
    assert piped["embeddings"] == cli_json("embed", encoder, "abc", "", "xyz")["embeddings"]


def test_nothing_piped_in_is_nothing_to_embed(cli, encoder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert cli("embed", encoder)[:2] == (0, "")


def test_a_terminal_without_a_text_is_wrong_usage(fails, encoder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Typed())
    assert "no TEXT" in fails("embed", encoder, code=2)


def test_a_long_text_is_noted(cli, encoder):
    code, _, err = cli("embed", encoder, "a" * 99)
    assert code == 0 and "text 1: 101 tokens, the model reads the first 24" in err


@pytest.mark.parametrize("verb", [("run", "hi"), ("chat",), ("eval", "--text", __file__)])
def test_what_an_encoder_cannot_do_names_what_it_can(fails, encoder, verb):
    name, *rest = verb
    assert f"edge embed {encoder} TEXT" in fails(name, encoder, *rest)


def test_embed_on_a_language_model_names_what_it_can_do(fails, model):
    assert f"edge run {model} PROMPT" in fails("embed", model, "hi")


def test_show_tells_what_an_encoder_is(cli, cli_json, encoder):
    out = cli("show", encoder)[1]
    assert "bert, 2 layers of 64, 4 heads" in out and "64 numbers a text, mean of tokens" in out
    document = cli_json("show", encoder)
    assert (document["kind"], document["context_length"]) == ("encoder", 24)
    assert document["memory"]["kv_per_token"] == 0


def test_show_measures_the_arena_that_an_encoder_then_takes(cli_json, encoder):
    from edge.format.reader import EdgeFile
    from edge.runtime.encoder import Encoder

    running = Encoder(EdgeFile(encoder))
    assert cli_json("show", encoder)["memory"]["arena"] == running.arena_bytes
    running.close()


def test_verify_reads_an_encoder(cli, encoder):
    assert "all good" in cli("verify", encoder)[1]


def test_bench_counts_texts(cli, cli_json, encoder, monkeypatch):
    from edge.runtime import bandwidth

    monkeypatch.setattr(
        bandwidth, "read_bandwidth", lambda kernels, threads: dict.fromkeys(threads, 5.0)
    )
    document = cli_json("bench", encoder, "-p", "8,24", "-t", "1", "-r", "2")
    results = document["results"]
    assert [result["test"] for result in results] == ["embed8", "embed24"]
    for result, tokens in zip(results, (8, 24), strict=True):
        assert len(result["tok_s"]) == 2 and result["gb_s"] is None
        ratio = result["median_tok_s"] / result["median_texts_s"]
        assert ratio == pytest.approx(tokens, rel=1e-3)
    assert "texts/s" in cli("bench", encoder, "-p", "8", "-t", "1", "-r", "1")[1]


def test_advice_is_about_language_models(fails, encoder, tmp_path):
    for subject in (encoder, tiny_encoder.folder(tmp_path / "source")):
        assert "take int8 for a sentence encoder" in fails("advise", subject)
