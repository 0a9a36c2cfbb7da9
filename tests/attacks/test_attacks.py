"""Hostile files: an error with a name, never a crash, whatever they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DoesNotFit, EdgeError, FormatError, SourceError, UnsupportedModel
from edge.exporter import export
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from edge.runtime.tokenizer import Tokenizer
from tests.attacks import checkpoints, files, graphs
from tests.format import small_file

ROOT = Path(__file__).parents[2]
README = Path(__file__).parent / "README.md"


@pytest.fixture
def hostile(tmp_path):
    def hostile(name: str) -> Path:
        path = tmp_path / f"{name}.edge"
        files.write(path, name)
        return path

    return hostile


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.edge"
    small_file.write(path)
    return path


def open_model(path: Path, **settings) -> Model:
    return Model(EdgeFile(path), threads=1, **({"context": 32} | settings))


def test_every_attack_is_described():
    described = re.findall(r"^- `(\w+)`: \S", README.read_text(), re.MULTILINE)
    of_files = [*files.MALFORMED, *files.MISFITS, *files.HARMLESS]
    assert described == [*of_files, *checkpoints.CHECKPOINTS, *graphs.GRAPHS]


@pytest.mark.parametrize("name", checkpoints.CHECKPOINTS)
def test_a_hostile_checkpoint_is_refused_and_leaves_no_file(tmp_path, name):
    source, lora = checkpoints.CHECKPOINTS[name](tmp_path)
    output = tmp_path / "out.edge"
    with pytest.raises(EdgeError):
        export(source, output, lora=lora)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("name", graphs.GRAPHS)
def test_a_hostile_graph_is_refused_in_one_line_and_nothing_is_written(tmp_path, name):
    attack, says = graphs.GRAPHS[name]
    source = attack(tmp_path)
    before = set(tmp_path.rglob("*"))
    with pytest.raises((SourceError, UnsupportedModel), match=says) as refusal:
        export(source, source.parent / "out.edge")
    assert "\n" not in str(refusal.value) and str(source) in str(refusal.value)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", files.MALFORMED)
def test_a_malformed_file_is_refused_when_it_is_opened(hostile, name):
    path = hostile(name)
    with pytest.raises(FormatError, match=re.escape(str(path))):
        EdgeFile(path)


@pytest.mark.parametrize("name", files.MISFITS)
def test_tensors_that_do_not_fit_are_refused_before_a_kernel_sees_them(hostile, name):
    path = hostile(name)
    EdgeFile(path)
    with pytest.raises(EdgeError, match=re.escape(str(path))):
        open_model(path)


@pytest.mark.parametrize("name", files.HARMLESS)
def test_an_odd_file_is_run(hostile, name):
    model = open_model(hostile(name))
    logits = model.forward([1, 2, 3])
    assert logits.shape == (1, small_file.VOCABULARY)
    model.close()


def test_a_window_beyond_all_is_none(hostile, small):
    logits = []
    for path in (hostile("window_beyond_all"), small):
        model = open_model(path)
        logits.append(model.forward(range(20)).copy())
        model.close()
    assert np.array_equal(*logits)


@pytest.mark.parametrize("tokens", [[-1], [40], [1, 2, 2**40], [1, -(2**63)]])
def test_token_ids_out_of_range_are_refused(small, tokens):
    model = open_model(small)
    with pytest.raises(EdgeError, match=r"token id -?\d+, expected 0\.\.39"):
        model.forward(tokens)
    assert model.position == 0
    model.close()


@pytest.mark.parametrize("tokens, error", [([], EdgeError), ([1] * 33, DoesNotFit)])
def test_no_tokens_and_too_many_are_refused(small, tokens, error):
    model = open_model(small)
    with pytest.raises(error):
        model.forward(tokens)
    model.close()


@pytest.mark.parametrize("kv", ["int4", "int3"])
def test_a_cache_that_the_heads_do_not_fit_is_refused(small, kv):
    with pytest.raises(UnsupportedModel):
        open_model(small, kv=kv)


@pytest.mark.parametrize("context", [2**31 - 1, 2**40])
def test_a_context_that_no_memory_holds_is_refused(small, context):
    with pytest.raises(DoesNotFit):
        open_model(small, context=context)


@pytest.mark.parametrize(
    "ids", [{"bos": 40, "eos": []}, {"bos": None, "eos": [2, 40]}, {"bos": 2**31 - 1, "eos": [2]}]
)
def test_tokenizer_ids_beyond_the_vocabulary_are_refused(tmp_path, ids):
    tensors = small_file.TENSORS | {"tokenizer.json": ("bytes", (64,))}
    path = tmp_path / "ids.edge"
    small_file.write(path, {"tokenizer": ids}, tensors)
    with pytest.raises(FormatError, match=r"tokenizer id \d+, expected 0\.\.39"):
        Tokenizer.of(EdgeFile(path))


def test_a_tokenizer_that_is_none_is_refused(tmp_path):
    path = tmp_path / "garbage.edge"
    small_file.write(path, None, small_file.TENSORS | {"tokenizer.json": ("bytes", (64,))})
    with pytest.raises(FormatError, match=r"garbage\.edge: tokenizer\.json cannot be read"):
        Tokenizer.of(EdgeFile(path))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
@pytest.mark.parametrize("name", ["nested_json", "larger_vocabulary", "wider_model", "more_heads"])
def test_a_refusal_takes_little_memory(hostile, name):
    """In a process that may have 2 GB of addresses, most of them for the libraries."""
    code = f"""
import resource
from edge.errors import EdgeError
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
try:
    Model(EdgeFile({str(hostile(name))!r}), threads=1)
except EdgeError as error:
    print(type(error).__name__)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert (result.stdout, result.stderr) == ("FormatError\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="guard pages are made with Linux's mmap")
@pytest.mark.parametrize("begin", [0, 12])
def test_kernels_stay_within_their_memory(tmp_path, begin):
    """Every buffer and tensor of random models lies at a page without access."""
    command = [sys.executable, "-m", "tests.attacks.guarded", str(tmp_path)]
    result = subprocess.run(
        [*command, str(begin), str(begin + 12)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=600,  # a plan that waits for itself would wait for ever
    )
    last = (result.stdout.split() or ["none"])[-1]
    assert result.returncode == 0, f"seed {last} ended with {result.returncode}: {result.stderr}"
