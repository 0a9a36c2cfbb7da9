"""A tiny model, and the command line called in this process."""

import json
import os

import pytest
import tiny_model

from edge.cli import main


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return str(tiny_model.write(tmp_path_factory.mktemp("tiny") / "tiny.edge"))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No flags from outside."""
    for name in list(os.environ):
        if name.startswith("EDGE_") and name not in ("EDGE_CACHE", "EDGE_TARGET"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def cli(capsys):
    """Run a command: (exit code, stdout, stderr)."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def cli_json(cli):
    """Run a command that succeeds; its JSON document."""

    def run(*arguments):
        code, out, err = cli(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def fails(cli):
    """Run a command that must fail with one line; the line."""

    def run(*arguments, code=1):
        found, _, err = cli(*arguments)
        assert found == code
        lines = err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("edge: error: "), err
        return lines[0]

    return run
