"""What a method gains on layers of trained models, and what a model takes while it runs."""

import pydoc_data.topics
import subprocess
import sys

import numpy as np
import pytest

from edge.advice import candidate, machine
from edge.advice.subject import open_subject
from edge.exporter import export
from edge.exporter.architectures import lower
from edge.exporter.calibration.collect import collect
from edge.exporter.calibration.corpus import windows_for
from edge.exporter.layer_error import output_error
from edge.exporter.quantize import Method, quantize
from edge.exporter.sources import open_source
from edge.exporter.weights import Weights
from edge.format.formats import WeightFormat
from tests.exporter.memory_source import MemorySource

OFFSET4 = WeightFormat("int4", 64, True)
ANSWER = """
import sys, edge
from edge.cli.memory import peak_rss
with edge.load(sys.argv[1], threads=1, context=512) as session:
    session.generate("Once upon a time", max_tokens=16, temperature=0.0)
    print(peak_rss(), "llvmlite" in sys.modules)
"""
LLVM = 50_000_000  # bytes that the compiler takes, where no library of kernels has been made


def test_gptq_halves_the_output_error_of_rounding_in_trained_layers(test_data, tmp_path):
    """The first two of MiniLM, on text; a single matrix may fall short by a twentieth."""
    whole = open_source(test_data("minilm_l6"))
    names = [n for n in whole.names() if not any(f".layer.{i}." in n for i in range(2, 6))]
    config = whole.config | {"num_hidden_layers": 2}
    source = MemorySource(config, {name: whole.read(name) for name in names})
    topics = pydoc_data.topics.topics
    (tmp_path / "text.txt").write_text("\n".join(topics[key] for key in sorted(topics)))
    model = lower(source)
    ids = windows_for(model, tmp_path / "text.txt", whole.tokenizer())[:32]
    statistics, weights = collect(source, model, ids, tmp_path / "stats"), Weights(source, model)
    ratios = []
    for name in [t.name for t in model.tensors if len(t.shape) == 2 and "layers" in t.name]:
        matrix, h = weights.read(name), statistics.fit(name).balanced
        moved = [
            quantize(matrix, Method(OFFSET4, "minmax", rounding), h).dequantize() - matrix
            for rounding in ("gptq", "rtn")
        ]
        ratios.append(output_error(moved[0], h) / output_error(moved[1], h))
    assert len(ratios) == 12 and np.mean(ratios) < 0.4 and max(ratios) < 0.525


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process from Linux")
def test_memory_is_what_was_predicted_within_a_tenth(test_data, tmp_path):
    path = tmp_path / "m.edge"
    export(test_data("SmolLM2-135M-Instruct.Q4_1.gguf"), path, quant="keep")
    predicted = candidate.of_file(open_subject(path), machine.named("pi5-8gb"), 32).memory
    command = [sys.executable, "-c", ANSWER, path]
    for _ in range(2):  # the first may compile kernels, which takes memory of its own
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, compiles = done.stdout.split()
    beside = LLVM if compiles == "True" else 0
    assert int(peak) - beside == pytest.approx(predicted, rel=0.1)
