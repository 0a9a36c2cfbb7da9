"""Chats without jinja2: the file's pattern gives the ids that its template gives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_model

from edge.errors import FormatError
from edge.exporter.chat import derive
from edge.format.chat_pattern import MAX_PATTERN, ChatPattern
from edge.format.reader import EdgeFile
from edge.runtime.chat import ChatFormat
from edge.runtime.tokenizer import Tokenizer

ROOT = Path(__file__).parents[2]
CONVERSATIONS = [
    [{"role": "user", "content": "hi"}],
    [{"role": "system", "content": " be brief "}, {"role": "user", "content": "<|end|>{{ x }}\n"}],
    [{"role": role, "content": role} for role in ("user", "assistant", "user")],
]
WITHOUT_JINJA = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "jinja2":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import edge
from edge.errors import EdgeError
from edge.format.reader import EdgeFile
from edge.runtime.chat import ChatFormat
from edge.runtime.tokenizer import Tokenizer
file = EdgeFile(sys.argv[1])
try:
    chat = ChatFormat.of(file, Tokenizer.of(file))
    print(json.dumps([chat.encode(messages) for messages in json.loads(sys.argv[2])]))
except EdgeError as error:
    sys.exit(str(error))
"""
GOOD = {
    "gaps": {"START user": {"text": "<u>"}, "user END": {"text": "<a>", "rstrip": None}},
    "system": "first",
    "cut": {"assistant": ["</think>", "\n"]},
    "filled": ["user"],
    "excluded": {"user": ["<tool>"]},
    "date": None,
}


def model(folder: Path, with_pattern: bool = True) -> Path:
    pattern = derive(tiny_model.TEMPLATE, "<|begin|>", "<|end|>").to_json()
    return tiny_model.write(folder / "tiny.edge", pattern=pattern if with_pattern else None)


def without_jinja(path: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT_JINJA, str(path), json.dumps(CONVERSATIONS)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def test_ids_are_the_same_with_jinja2_and_without(tmp_path):
    path = model(tmp_path)
    file = EdgeFile(path)
    chat = ChatFormat.of(file, Tokenizer.of(file))
    result = without_jinja(path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [chat.encode(messages) for messages in CONVERSATIONS]


def test_without_a_pattern_the_error_names_jinja2(tmp_path):
    result = without_jinja(model(tmp_path, with_pattern=False))
    assert result.returncode == 1
    assert result.stderr.strip().endswith(
        "tiny.edge: the model's chat template needs jinja2: pip install jinja2"
    )


@pytest.mark.parametrize("document", [GOOD, GOOD | {"gaps": {}}, GOOD | {"date": "%d %b"}])
def test_a_whole_pattern_is_read(document):
    pattern = ChatPattern.from_json(json.dumps(document).encode(), "a file")
    assert json.loads(pattern.to_json()) == document


@pytest.mark.parametrize(
    "document",
    [
        {k: v for k, v in GOOD.items() if k != "date"},
        GOOD | {"more": 1},
        GOOD | {"gaps": []},
        GOOD | {"gaps": {"user tool": {"text": ""}}},
        GOOD | {"gaps": {"END START": {"text": ""}}},
        GOOD | {"gaps": {"user END": {}}},
        GOOD | {"gaps": {"user END": {"text": 1}}},
        GOOD | {"gaps": {"user END": {"text": "", "code": ""}}},
        GOOD | {"gaps": {"user END": {"text": "", "lstrip": True}}},
        GOOD | {"gaps": {"user END": {"text": "a" * (2**14 + 1)}}},
        GOOD | {"system": "middle"},
        GOOD | {"system": ["last"]},
        GOOD | {"cut": {"tool": ["a", "b"]}},
        GOOD | {"cut": {"user": "ab"}},
        GOOD | {"cut": {"user": ["", "b"]}},
        GOOD | {"filled": "user"},
        GOOD | {"filled": ["tool"]},
        GOOD | {"excluded": {"user": [""]}},
        GOOD | {"excluded": {"user": ["a"] * 65}},
        GOOD | {"excluded": ["a"]},
        GOOD | {"date": 3},
        GOOD | {"date": "%d\x00"},
        GOOD | {"date": "\ud800"},
        [],
    ],
)
def test_anything_else_is_refused(document):
    with pytest.raises(FormatError, match="a file"):
        ChatPattern.from_json(json.dumps(document).encode(), "a file")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff", b'{"gaps": {}, "gaps": {}}', b"[" * 10**4, b" " * (MAX_PATTERN + 1)],
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(FormatError, match="a file"):
        ChatPattern.from_json(text, "a file")
