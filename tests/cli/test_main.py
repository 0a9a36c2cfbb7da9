"""What all commands share: usage, environment twins, errors as one line, exit codes."""

import argparse
import subprocess
import sys

import pytest

import edge
from edge import cli as package
from edge.cli import answering, run, show
from edge.cli.usage import UsageError, add_twins


def test_version_is_the_packages(cli):
    assert cli("--version") == (0, f"edge {edge.__version__}\n", "")


@pytest.mark.parametrize("verb", [*package.VERBS, *package.ALIASES])
def test_every_verb_explains_itself(cli, verb):
    code, out, _ = cli(verb, "--help")
    assert code == 0 and out.startswith("usage: edge ")


def test_help_needs_no_heavy_import():
    heavy = "numpy", "numba", "llvmlite", "tokenizers", "jinja2"
    script = (
        "import sys; from edge.cli import main; main(['run', '--help']); "
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.stderr.strip() == "[]"


def test_no_verb_is_wrong_usage(cli):
    code, out, err = cli()
    assert (code, out) == (2, "") and "usage: edge" in err


def test_an_unknown_verb_suggests_a_near_one(fails):
    assert "did you mean verify?" in fails("verifi", code=2)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["run"], "MODEL"),
        (["run", "m.edge", "hi", "--wrong"], "--wrong"),
        (["run", "m.edge", "hi", "--top-p", "2"], "--top-p: expected a number above 0 to 1"),
        (["run", "m.edge", "hi", "--temp", "nan"], "--temp"),
        (["run", "m.edge", "hi", "-n", "x"], "whole number from -1"),
        (["run", "m.edge", "hi", "--kv", "int2"], "--kv"),
        (["bench", "m.edge", "-t", "1,0"], "whole number from 1"),
        (["bench", "m.edge", "-p", "0", "-n", "0"], "nothing to measure"),
        (["export", "m.gguf"], "-o OUT.edge"),
        (["eval", "m.edge"], "--text"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(fails, arguments, reason):
    assert reason in fails(*arguments, code=2)


def test_a_missing_file_is_named(fails, tmp_path):
    missing = tmp_path / "missing.edge"
    for verb in ("run", "show", "verify", "bench"):
        assert str(missing) in fails(verb, missing, *["hi"] * (verb == "run"))


def test_flags_have_environment_twins(cli_json, model, monkeypatch):
    monkeypatch.setenv("EDGE_N_PREDICT", "3")
    monkeypatch.setenv("EDGE_RAW", "yes")
    monkeypatch.setenv("EDGE_STOP", "never")
    document = cli_json("run", model, "hi", "--temp", "0")
    assert document["completion_tokens"] == 3
    assert document["prompt_tokens"] == 3  # begin, h, i: no template


def test_a_flag_beats_its_twin(cli_json, model, monkeypatch):
    monkeypatch.setenv("EDGE_N_PREDICT", "3")
    assert cli_json("run", model, "hi", "-n", "2")["completion_tokens"] == 2


@pytest.mark.parametrize(
    "name, value", [("EDGE_TOP_K", "few"), ("EDGE_KV", "int2"), ("EDGE_RAW", "perhaps")]
)
def test_a_wrong_twin_is_named(fails, model, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert f"{name}={value!r}" in fails("run", model, "hi", code=2)


def test_a_required_flag_may_come_from_its_twin():
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", required=True)
    add_twins(parser, {"EDGE_TEXT": "file"})
    assert parser.parse_args([]).text == "file"


def test_a_twin_is_checked_like_its_flag():
    parser = argparse.ArgumentParser()
    answering.add_sampling(parser)
    with pytest.raises(UsageError, match="EDGE_TOP_P"):
        add_twins(parser, {"EDGE_TOP_P": "7"})


def raising(error):
    def command(args):
        raise error

    return command


@pytest.mark.parametrize(
    "error, line",
    [
        (edge.DoesNotFit("no room (here); buy more"), "no room (here); buy more"),
        (edge.FormatError("two\nlines"), "two lines"),
        (MemoryError(), "out of memory"),
        (PermissionError(13, "Permission denied", "x.edge"), "Permission denied (x.edge)"),
        (OSError("cannot write x.edge: no space"), "cannot write x.edge: no space"),
        (BrokenPipeError(32, "Broken pipe"), "nobody reads the output"),
        (KeyError("x"), "a mistake in edge itself: KeyError: 'x'"),
    ],
)
def test_every_failure_is_one_line_and_code_1(fails, monkeypatch, error, line):
    monkeypatch.setattr(show, "command", raising(error))
    assert line in fails("show", "m.edge")


def test_debug_shows_where_an_error_came_from(cli, monkeypatch):
    monkeypatch.setattr(show, "command", raising(edge.FormatError("broken")))
    code, _, err = cli("show", "m.edge", "--debug")
    assert code == 1 and "Traceback" in err and err.endswith("edge: error: broken\n")


def test_ctrl_c_is_code_130(cli, monkeypatch):
    monkeypatch.setattr(run, "command", raising(KeyboardInterrupt()))
    assert cli("run", "m.edge", "hi") == (130, "", "edge: interrupted\n")


def test_a_reader_that_leaves_early_is_no_traceback(model):
    command = [sys.executable, "-m", "edge", "run", model, "hi", "-n", "150"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    assert "nobody reads the output" in err and "Traceback" not in err
