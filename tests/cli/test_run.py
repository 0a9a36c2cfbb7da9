"""edge run and edge chat: answers on stdout, all else on stderr, Ctrl-C in its place."""

import builtins
import io
import sys

import pytest
import tiny_model

from edge.runtime.generate import Engine


class Typed(io.StringIO):
    """A terminal's keyboard."""

    def isatty(self):
        return True


@pytest.fixture
def typing(monkeypatch):
    """Lines that somebody types; an exception among them is raised."""

    def type_(*lines):
        left = list(lines)

        def read(prompt=""):
            if not left:
                raise EOFError
            line = left.pop(0)
            if isinstance(line, str):
                return line
            raise line

        monkeypatch.setattr(sys, "stdin", Typed())
        monkeypatch.setattr(builtins, "input", read)

    return type_


@pytest.fixture
def interrupted(monkeypatch):
    """Ctrl-C at the third token of the first answer."""
    decode, calls = Engine.decode, []

    def press(self, token):
        calls.append(token)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return decode(self, token)

    monkeypatch.setattr(Engine, "decode", press)


def test_the_json_document_has_the_contracts_keys(cli_json, model):
    document = cli_json("run", model, "hi", "-n", "5", "--temp", "0")
    assert list(document) == [
        "text", "tokens", "prompt_tokens", "completion_tokens", "finish_reason", "timings",
        "energy", "temperature_c",
    ]  # fmt: skip
    assert list(document["timings"]) == [
        "load_s", "prefill_s", "decode_s", "prefill_tok_s", "decode_tok_s",
    ]  # fmt: skip
    assert document["completion_tokens"] == len(document["tokens"]) == 5
    assert document["energy"] is None and document["temperature_c"] is None


def test_the_answer_alone_is_on_stdout(cli, cli_json, model):
    text = cli_json("run", model, "hi", "-n", "20", "--temp", "0")["text"]
    code, out, err = cli("run", model, "hi", "-n", "20", "--temp", "0")
    assert (code, out.rstrip("\n")) == (0, text.rstrip("\n"))
    assert " tok/s" in err and "prefill" in err


def test_a_piped_text_is_the_prompt(cli_json, model, monkeypatch):
    given = cli_json("run", model, "hi", "-n", "5", "--temp", "0")
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n"))
    assert cli_json("run", model, "-n", "5", "--temp", "0")["tokens"] == given["tokens"]


def test_raw_skips_the_template_and_parses_special_tokens(cli_json, model):
    templated = cli_json("run", model, "hi", "-n", "1")
    raw = cli_json("run", model, "hi<|end|>", "-n", "1", "--raw")
    assert (templated["prompt_tokens"], raw["prompt_tokens"]) == (5, 4)


def test_a_model_without_template_continues_the_prompt(cli_json, tmp_path):
    base = tiny_model.write(tmp_path / "base.edge", template=None)
    assert cli_json("run", base, "hi", "-n", "1")["prompt_tokens"] == 3


def test_stop_may_be_repeated(cli_json, model):
    text = cli_json("run", model, "hi", "-n", "40", "--temp", "0", "--raw")["text"]
    first, second = text[len(text) // 2], text[-1]
    cut = cli_json(
        "run", model, "hi", "-n", "40", "--temp", "0", "--raw", "--stop", second, "--stop", first
    )
    at = min(text.index(first), text.index(second))
    assert (cut["text"], cut["finish_reason"]) == (text[:at], "stop")


@pytest.mark.parametrize("kv", ["float16", "int8"])
def test_every_kind_of_cache_answers(cli_json, model, kv):
    assert cli_json("run", model, "hi", "-n", "3", "--kv", kv)["completion_tokens"] == 3


def test_a_cache_the_heads_are_too_small_for_is_one_line(fails, model):
    assert "int4 KV cache" in fails("run", model, "hi", "--kv", "int4")


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt_is_an_error(fails, model, prompt):
    assert "the prompt is empty" in fails("run", model, prompt)


def test_an_empty_pipe_is_an_error(fails, model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert "the prompt is empty" in fails("run", model)


def test_a_prompt_longer_than_the_context_is_an_error(fails, model):
    assert "do not fit into a context of 20" in fails("run", model, "a" * 30, "-c", "20")


def test_ctrl_c_ends_the_answer_with_code_130(cli, model, interrupted):
    code, out, err = cli("run", model, "hi", "--temp", "0")
    assert code == 130 and out.endswith("\n") and "tok/s" in err


def test_json_wants_a_prompt(fails, model, typing):
    typing()
    assert "PROMPT" in fails("run", model, "--json", code=2)


@pytest.mark.parametrize("verb", ["run", "chat"])
def test_on_a_terminal_there_is_a_chat(cli, model, typing, verb):
    typing("hi", "/help", "/what", "", "/clear", "hi", "/bye", "never read")
    code, out, err = cli(verb, model, "-n", "4", "--temp", "0")
    assert code == 0 and "/clear" in out
    assert "no command /what" in err
    footers = [line for line in err.splitlines() if "tok/s" in line]
    assert len(footers) == 2


def test_the_conversation_is_remembered_until_cleared(cli, model, typing, monkeypatch):
    prompts = []
    prefill = Engine.prefill
    monkeypatch.setattr(
        Engine, "prefill", lambda self, p, *a: prompts.append(len(p)) or prefill(self, p, *a)
    )
    typing("hi", "hi", "/clear", "hi")
    cli("chat", model, "-n", "4", "--temp", "0")
    assert prompts[0] == prompts[2] < prompts[1]


def test_a_message_of_several_lines_ends_with_quotes(cli, model, typing, monkeypatch):
    said = []
    monkeypatch.setattr("edge.cli.chat.Conversation.take", lambda self, line: said.append(line))
    typing('"""first', "second", 'third"""', '"""one line"""')
    assert cli("chat", model)[0] == 0
    assert said == ["first\nsecond\nthird", "one line"]


def test_ctrl_c_ends_the_answer_and_not_the_chat(cli, model, typing, interrupted):
    typing("hi", KeyboardInterrupt(), "hi")
    code, _, err = cli("chat", model, "-n", "4", "--temp", "0")
    assert code == 0 and err.count("tok/s · prefill") == 2 and "Ctrl-D" in err


def test_a_message_that_does_not_fit_leaves_the_chat_running(cli, model, typing):
    typing("a" * 300, "hi")
    code, _, err = cli("chat", model, "-n", "4")
    assert code == 0 and "edge: error: " in err and "tok/s" in err


def test_the_oldest_messages_make_room(cli, model, typing):
    typing(*["a" * 60] * 4)
    code, _, err = cli("chat", model, "-n", "8", "--temp", "0")
    assert code == 0 and "the oldest 2 messages are left out" in err
    assert "error" not in err


def test_a_chat_may_be_piped(cli, model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n/clear\nho\n"))
    code, out, _ = cli("chat", model, "-n", "2")
    assert code == 0 and ">>>" not in out
