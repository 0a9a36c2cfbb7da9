"""NumPy instead of machine code: the same text, an honest word, and a step that can be stopped."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import machine
import numpy as np
import pytest
import tiny_model

from edge.exporter import export
from edge.format.reader import EdgeFile
from edge.runtime.kernels import catalogue
from edge.runtime.kv_cache import KINDS
from edge.runtime.libraries.choice import library
from edge.runtime.libraries.plain import NumpyLibrary
from edge.runtime.model import Model
from edge.runtime.plan import Arena, Op, Plan
from edge.runtime.selftest import selftest
from edge.runtime.team import Team
from edge.runtime.tokenizer import Tokenizer

CHECKOUT = Path(__file__).parents[2]


def story(path: Path, kernels) -> str:
    """Forty tokens, the likeliest each."""
    file = EdgeFile(path)
    tokenizer, model = Tokenizer.of(file), Model(file, threads=2, kernels=kernels, context=64)
    ids = tokenizer.encode("Once upon a time")
    logits = model.forward(ids)
    for _ in range(40):
        ids.append(int(logits[0].argmax()))
        logits = model.forward(ids[-1:])
    model.close()
    return tokenizer.decode(ids)


def test_every_kernel_of_the_catalogue_passes_the_self_test():
    checks = selftest(NumpyLibrary())
    assert len(checks) == len(catalogue.NAMES) - len(catalogue.OF_GRAPHS)
    assert [check.kernel for check in checks if not check.passed] == []


@pytest.mark.parametrize("quant", ["keep", "int8", "int4", "float16", "float32"])
def test_a_trained_model_tells_the_same_story_as_with_compiled_kernels(test_data, tmp_path, quant):
    path = tmp_path / "m.edge"
    export(test_data("stories260K/stories260K.bin"), path, quant=quant)
    assert story(path, NumpyLibrary()) == story(path, library())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "int4"])
def test_logits_agree_with_compiled_kernels_for_every_cache(tmp_path, kind):
    path = tiny_model.write(tmp_path / "tiny.edge")
    tokens = np.random.default_rng(0).integers(0, 256, 75)
    logits = []
    for kernels in (library(), NumpyLibrary()):
        model = Model(EdgeFile(path), threads=2, kernels=kernels, batch=33, kv=kind, outputs=5)
        logits.append(model.forward(tokens, outputs=5).copy())
        model.close()
    # An int8 code at a tie may go either way: one step of 127 in one of many keys and values.
    assert np.abs(logits[1] - logits[0]).max() < (5e-2 if kind == "int8" else 5e-3)


def endless() -> tuple[Plan, Team]:
    arena, kernels = Arena(), NumpyLibrary()
    data, sums = arena.array((4096,), "<f4"), arena.array((16,), "<f4")
    op = Op("read", (machine.address(data), data.nbytes, machine.address(sums)))
    plan, team = Plan([op] * 100, kernels), Team(kernels, 2, 0)
    team.keep(arena)
    return plan, team


class Alarm(Exception):
    """What the signal's handler raises."""


def test_a_signal_ends_the_step_it_arrives_in():
    def ring(*_):
        raise Alarm

    plan, team = endless()
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(Alarm):
            for _ in range(10000):
                team.run(plan, 1, 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        team.close()


@pytest.fixture
def bare_python(tmp_path):
    """The environment of a Python that has NumPy and nothing else, and no kernel library."""
    site = tmp_path / "site"
    site.mkdir()
    for path in Path(np.__file__).parents[1].glob("numpy*"):
        (site / path.name).symlink_to(path)
    changes = {
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(site)]),
        "EDGE_CACHE": str(tmp_path / "cache"),
        "EDGE_TARGET": "aarch64-plain",  # which nobody ships
    }
    return os.environ | changes


def test_without_numba_and_libraries_edge_runs_on_numpy_and_says_so_once(bare_python):
    command = [sys.executable, "-S", "-m", "edge", "doctor", "--json"]
    done = subprocess.run(command, env=bare_python, capture_output=True, text=True, check=True)
    kernels = json.loads(done.stdout)["kernels"]
    assert kernels["source"] == kernels["target"] == "numpy"
    assert kernels["self_test"]["passed"] and "times slower" in kernels["why"]
    assert done.stderr.count("edge: no compiled kernels for this machine") == 1
    assert "pip install 'edge[jit]'" in done.stderr
