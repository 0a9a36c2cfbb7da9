"""The loop around a model: what it computes, where it stops, what it gives out."""

import numpy as np
import pytest
import tiny_model

from edge.errors import DoesNotFit, EdgeError
from edge.format.reader import EdgeFile
from edge.runtime import state
from edge.runtime.generate import Answer, Engine, StopStrings, common_prefix
from edge.runtime.model import Model
from edge.runtime.sampler import Sampler, Sampling
from edge.runtime.tokenizer import Tokenizer

GREEDY = Sampling(temperature=0)


class ScriptedModel:
    """Says `script`, whatever it reads; keeps what it was given."""

    def __init__(self, script, context=64):
        self.script, self.context = list(script), context
        self.position, self.given = 0, []

    def forward(self, tokens, outputs=1, progress=lambda done: None):
        if self.position + len(tokens) > self.context:
            raise DoesNotFit("too long")
        self.given.append(list(tokens))
        self.position += len(tokens)
        progress(len(tokens))
        logits = np.zeros((1, tiny_model.CONFIG.vocabulary), np.float32)
        logits[0, self.script.pop(0)] = 1
        return logits

    def rewind(self, position):
        self.position = min(position, self.position)


@pytest.fixture
def tokenizer():
    special = tiny_model.BEGIN, (tiny_model.END,)
    return Tokenizer(tiny_model.tokenizer(), tiny_model.CONFIG.vocabulary, *special, add_bos=True)


def answer(tokenizer, says, prompt="ab", context=64, **settings):
    script = [*tokenizer.encode(says), tiny_model.END]
    engine = Engine(ScriptedModel(script, context))
    return Answer(engine, tokenizer, tokenizer.encode(prompt), Sampler(GREEDY), **settings)


def test_an_answer_ends_where_the_model_does(tokenizer):
    given = answer(tokenizer, "fine")
    assert list(given) == ["f", "i", "n", "e"]
    assert (given.text, given.finish_reason) == ("fine", "stop")
    assert given.tokens == tokenizer.encode("fine")


def test_an_answer_ends_after_max_tokens(tokenizer):
    given = answer(tokenizer, "fine", max_tokens=2)
    assert ("".join(given), given.finish_reason) == ("fi", "length")
    assert given.timings.decode_tokens == 1


def test_an_answer_ends_when_the_context_is_full(tokenizer):
    given = answer(tokenizer, "fine", context=4)
    assert ("".join(given), given.finish_reason) == ("fin", "length")


def test_a_stop_string_ends_an_answer_and_is_not_part_of_it(tokenizer):
    given = answer(tokenizer, "one. two. three", stops=["tw", ". th"])
    assert ("".join(given), given.finish_reason) == ("one. ", "stop")


def test_what_only_looked_like_a_stop_string_comes_out_in_the_end(tokenizer):
    given = answer(tokenizer, "one. two. t", stops=[". th"])
    assert "".join(given) == "one. two. t"


def test_an_answer_cut_inside_a_character_says_so_with_a_replacement(tokenizer):
    assert "".join(answer(tokenizer, "a你", max_tokens=2)) == "a\ufffd"


def test_the_prompt_is_computed_once_and_its_end_never_taken_for_known(tokenizer):
    model = ScriptedModel(tokenizer.encode("xyxy"))
    engine = Engine(model)
    first = tokenizer.encode("hello")
    engine.prefill(first)
    engine.decode(first[0])
    _, computed = engine.prefill([*first, first[0], first[1]])
    assert computed == 1
    engine.prefill(first)
    assert [len(g) for g in model.given] == [5, 1, 1, 1]
    assert engine.cached == first


def test_what_differs_from_the_cache_is_computed_again(tokenizer):
    engine = Engine(ScriptedModel([1, 1]))
    engine.prefill([1, 2, 3, 4])
    assert engine.prefill([1, 2, 9])[1] == 1
    assert engine.cached == [1, 2, 9]


def test_a_step_that_was_interrupted_is_not_in_the_cache():
    model = ScriptedModel([1])
    engine = Engine(model)
    engine.prefill([1, 2, 3])

    def interrupted(tokens, outputs=1, progress=None):
        raise KeyboardInterrupt

    model.forward = interrupted
    with pytest.raises(KeyboardInterrupt):
        engine.decode(7)
    assert engine.cached == [1, 2, 3]


def test_an_interrupted_answer_keeps_what_came_before(tokenizer):
    given = answer(tokenizer, "fine")
    assert next(given) == "f"
    given._pieces.close()
    assert (given.text, given.finish_reason) == ("f", None)


@pytest.mark.parametrize(
    "prompt, reason", [([], "empty"), ([5, 272], "token id 272"), ([-1], "token id -1")]
)
def test_prompts_that_cannot_be_run_are_refused(tokenizer, prompt, reason):
    with pytest.raises(EdgeError, match=reason):
        list(Answer(Engine(ScriptedModel([])), tokenizer, prompt, Sampler(GREEDY)))


def test_max_tokens_is_at_least_one(tokenizer):
    with pytest.raises(EdgeError, match="max_tokens of 0"):
        answer(tokenizer, "fine", max_tokens=0)


@pytest.mark.parametrize(
    "pieces, stops, shown",
    [
        (["ab", "c"], [], ["ab", "c"]),
        (["ab", "c"], ["bd"], ["a", "bc"]),
        (["ab", "d", "e"], ["bd"], ["a", "", ""]),
        (["aaa", "b"], ["aab"], ["a", ""]),
        (["x<", "|", "end"], ["<|end|>"], ["x", "", ""]),
        (["one two"], ["two", "one t"], [""]),
        (["abc"], [""], ["abc"]),
    ],
)
def test_text_is_held_back_while_it_may_begin_a_stop_string(pieces, stops, shown):
    strings = StopStrings(stops)
    assert [strings.push(piece) for piece in pieces] == shown


@pytest.mark.parametrize(
    "a, b, length", [([], [1], 0), ([1, 2], [1, 3], 1), ([1, 2], [1, 2, 3], 2), ([1], [1], 1)]
)
def test_common_prefix_counts_equal_tokens(a, b, length):
    assert common_prefix(a, b) == length


# --- with a real model ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("tiny") / "tiny.edge")


@pytest.fixture
def engine(path):
    engine = Engine(Model(EdgeFile(path), threads=1, context=64))
    yield engine
    engine.model.close()


def greedy(engine, prompt, count):
    logits, _ = engine.prefill(prompt)
    tokens = [int(logits.argmax())]
    while len(tokens) < count:
        tokens.append(int(engine.decode(tokens[-1]).argmax()))
    return tokens


def test_a_reused_beginning_gives_the_same_tokens(engine, path):
    fresh = Engine(Model(EdgeFile(path), threads=1, context=64))
    greedy(engine, [256, 1, 2, 3, 4, 5], 8)
    assert greedy(engine, [256, 1, 2, 3, 9], 8) == greedy(fresh, [256, 1, 2, 3, 9], 8)
    fresh.model.close()


def test_a_saved_conversation_goes_on_in_another_process_with_another_context(
    engine, path, tmp_path
):
    greedy(engine, [256, 1, 2, 3], 20)
    state.save(tmp_path / "s", engine)
    other = Engine(Model(EdgeFile(path), threads=2, context=200))
    state.load(tmp_path / "s", other)
    assert other.cached == engine.cached
    prompt = [*engine.cached, 5]
    assert other.prefill(prompt)[1] == 1
    assert greedy(other, prompt, 8) == greedy(engine, prompt, 8)
    other.model.close()


@pytest.fixture
def saved(engine, tmp_path):
    engine.prefill([256, 1, 2, 3])
    state.save(tmp_path / "s", engine)
    return tmp_path / "s"


@pytest.mark.parametrize("keep", [0, 7, 63, 64, 100, -1])
def test_a_state_that_was_cut_off_is_refused(engine, saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(EdgeError, match=str(saved)):
        state.load(saved, engine)


@pytest.mark.parametrize("at", [0, 8, 12, 16, 24, 32, 64, 70, 500, -1])
def test_a_state_with_a_flipped_bit_is_refused_and_the_cache_kept(engine, saved, at):
    content = bytearray(saved.read_bytes())
    content[at] ^= 1
    saved.write_bytes(content)
    with pytest.raises(EdgeError, match=str(saved)):
        state.load(saved, engine)
    assert engine.cached == [256, 1, 2, 3]


def test_a_state_of_another_model_is_refused(saved, tmp_path):
    path = tiny_model.write(tmp_path / "other.edge", seed=1)
    other = Engine(Model(EdgeFile(path), threads=1, context=64))
    with pytest.raises(EdgeError, match="another model"):
        state.load(saved, other)
    other.model.close()


def test_a_state_of_another_kind_of_cache_is_refused(saved, path):
    other = Engine(Model(EdgeFile(path), threads=1, context=64, kv="float16"))
    with pytest.raises(EdgeError, match="--kv float32"):
        state.load(saved, other)
    other.model.close()


def test_a_state_longer_than_the_context_does_not_fit(saved, path):
    other = Engine(Model(EdgeFile(path), threads=1, context=3))
    with pytest.raises(DoesNotFit, match="4 tokens"):
        state.load(saved, other)
    other.model.close()
