"""`edge.load` and what it returns, through the public names only."""

import subprocess
import sys

import pytest
import tiny_model

import edge

HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("tiny") / "tiny.edge")


@pytest.fixture(scope="module")
def model(path):
    with edge.load(path, threads=1) as session:
        yield session


def test_generate_returns_text_tokens_and_timings(model):
    generation = model.generate("Once", max_tokens=8, temperature=0.0)
    assert generation.text == model.detokenize(generation.tokens)
    assert (len(generation.tokens), generation.finish_reason) == (8, "length")
    assert generation.prompt_tokens == 1 + len("Once")
    assert generation.timings.decode_tok_s > 0 and generation.energy is None


def test_stream_gives_the_same_text_in_pieces(model):
    whole = model.generate("Once", max_tokens=30, temperature=0.0).text
    assert "".join(model.stream("Once", max_tokens=30, temperature=0.0)) == whole


def test_a_seed_repeats_an_answer(model):
    first, second = (model.generate("Once", max_tokens=20, seed=5).tokens for _ in range(2))
    assert first == second


def test_ids_are_as_good_as_text(model):
    ids = model.tokenize("Once", bos=True)
    by_ids = model.generate(ids, max_tokens=8, temperature=0.0)
    assert by_ids.tokens == model.generate("Once", max_tokens=8, temperature=0.0).tokens


def test_a_stop_string_may_come_alone(model):
    text = model.generate("Once", max_tokens=30, temperature=0.0).text
    stop = text[10]
    cut = model.generate("Once", max_tokens=30, temperature=0.0, stop=stop)
    assert (cut.text, cut.finish_reason) == (text[: text.index(stop)], "stop")


def test_a_chat_completion_has_openais_shape(model):
    completion = model.chat(HI, max_tokens=4, temperature=0.0)
    choice = completion["choices"][0]
    assert completion["object"] == "chat.completion" and completion["model"] == "tiny"
    assert choice["message"]["role"] == "assistant" and choice["finish_reason"] == "length"
    assert completion["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "total_tokens": 9,
    }


def test_chat_chunks_have_openais_shape_and_add_up(model):
    whole = model.chat(HI, max_tokens=20, temperature=0.0)["choices"][0]["message"]["content"]
    chunks = list(model.chat(HI, stream=True, max_tokens=20, temperature=0.0))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert deltas[0] == {"role": "assistant", "content": ""} and deltas[-1] == {}
    assert "".join(delta.get("content", "") for delta in deltas) == whole
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["length"]


def test_the_next_turn_reads_only_what_is_new(model):
    first = model.reply(HI, max_tokens=6, temperature=0.0)
    said = "".join(first)
    messages = [*HI, {"role": "assistant", "content": said}, {"role": "user", "content": "so?"}]
    second = model.reply(messages, max_tokens=2, temperature=0.0)
    list(second)
    assert second.timings.prefill_tokens < len(second.prompt) - len(first.prompt) + 1


def test_the_models_own_settings_are_the_default(tmp_path):
    generation = {"temperature": 0.0}
    path = tiny_model.write(tmp_path / "m.edge", generation=generation)
    with edge.load(path, threads=1) as session:
        first, second = (session.generate("Once", max_tokens=20).tokens for _ in range(2))
        assert first == second


def test_a_saved_state_spares_reading_again(model, path, tmp_path):
    model.generate("Once upon a time", max_tokens=1)
    model.save_state(tmp_path / "state")
    with edge.load(path, threads=1) as other:
        other.load_state(tmp_path / "state")
        assert other.generate("Once upon a time", max_tokens=1).timings.prefill_tokens == 1


@pytest.mark.parametrize(
    "prompt, options, reason",
    [
        ("", {}, "the prompt is empty"),
        ([], {}, "the prompt is empty"),
        ([300], {}, "token id 300"),
        ("a" * 300, {}, "do not fit into a context of 256"),
        ("a", {"top_p": 3.0}, "top_p"),
        ("a", {"max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_cannot_be_answered_is_an_edge_error(model, prompt, options, reason):
    with pytest.raises(edge.EdgeError, match=reason):
        model.generate(prompt, **options)


def test_an_option_there_is_not_is_a_type_error(model):
    with pytest.raises(TypeError, match="temprature"):
        model.generate("a", temprature=1.0)


@pytest.mark.parametrize("name", ["model.gguf", "model.safetensors", "folder"])
def test_a_source_model_is_told_to_be_packed_first(tmp_path, name):
    source = tmp_path / name
    source.mkdir() if name == "folder" else source.write_bytes(b"GGUF")
    with pytest.raises(edge.FormatError, match="edge export"):
        edge.load(source)


def test_a_context_that_memory_cannot_hold_does_not_fit(path):
    with pytest.raises(edge.DoesNotFit, match="KV cache"):
        edge.load(path, context=2**40)


def test_importing_edge_is_light():
    heavy = "numpy", "numba", "llvmlite", "tokenizers", "jinja2", "edge.session"
    script = f"import sys, edge; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
