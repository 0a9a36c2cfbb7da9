"""Every family against transformers: logits of tiny random checkpoints in float32 mode."""

from pathlib import Path

import numpy as np
import pytest

from edge.errors import DoesNotFit, EdgeError
from edge.exporter import export
from edge.format.reader import EdgeFile
from edge.runtime.model import Model

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Path of a golden checkpoint exported with a recipe, made once."""
    folder, made = tmp_path_factory.mktemp("families"), {}

    def path(case: str, quant: str) -> Path:
        if (case, quant) not in made:
            made[case, quant] = folder / f"{case}-{quant}.edge"
            export(GOLDEN / case, made[case, quant], quant=quant)
        return made[case, quant]

    return path


def logits(model: Model, tokens: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Logits of all tokens, fed in pieces of these sizes."""
    rows, start = [], 0
    for size in sizes:
        rows.append(model.forward(tokens[start : start + size], outputs=size).copy())
        start += size
    return np.concatenate(rows)


def open_model(path: Path, **options) -> Model:
    return Model(EdgeFile(path), context=128, outputs=64, **options)


@pytest.mark.parametrize("case", CASES)
def test_logits_of_a_prefill_agree_with_transformers(packed, case):
    expected = np.load(GOLDEN / case / "expected.npz")
    model = open_model(packed(case, "float32"), threads=2)
    got = logits(model, expected["tokens"], [len(expected["tokens"])])
    assert np.abs(got - expected["logits"]).max() < TOLERANCE
    if "logits_short" in expected:
        short = expected["logits_short"]
        model.rewind(0)
        got = logits(model, expected["tokens"][: len(short)], [len(short)])
        assert np.abs(got - short).max() < TOLERANCE
    model.close()


@pytest.mark.parametrize("case", CASES)
def test_logits_of_steps_after_a_prefill_agree_with_transformers(packed, case):
    expected = np.load(GOLDEN / case / "expected.npz")
    tokens = expected["tokens"]
    steps = 8
    wanted = expected.get("logits_steps", expected["logits"][-steps:])
    model = open_model(packed(case, "float32"), threads=1)
    got = logits(model, tokens, [len(tokens) - steps, *[1] * steps])
    assert np.abs(got[-steps:] - wanted).max() < TOLERANCE
    model.close()


@pytest.mark.parametrize("case", ["llama3", "gemma3_text"])
def test_a_prefill_in_batches_is_the_same_prefill(packed, case):
    tokens = np.load(GOLDEN / case / "expected.npz")["tokens"]
    last = []
    for batch in (64, 7):
        model = open_model(packed(case, "float32"), threads=2, batch=batch)
        last.append(model.forward(tokens, outputs=1).copy())
        model.close()
    assert np.abs(last[0] - last[1]).max() < 1e-4


@pytest.mark.parametrize("kv, limit", [("int8", 0.05), ("int4", 1.5)])
@pytest.mark.parametrize("case", ["qwen3", "smollm2", "gemma2"])
def test_a_quantized_cache_stays_close(packed, case, kv, limit):
    """In units of the logits' spread; int4 on random weights is rough, but far from unrelated."""
    expected = np.load(GOLDEN / case / "expected.npz")
    path = packed(case, "float32")
    if EdgeFile(path).config.head_dim % 32 and kv == "int4":
        pytest.skip("int4 needs heads of a multiple of 32")
    model = open_model(path, threads=1, kv=kv)
    got = logits(model, expected["tokens"], [len(expected["tokens"])])
    error = got - expected["logits"]
    assert np.sqrt((error**2).mean()) < limit * expected["logits"].std()
    model.close()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("quant, limit", [("float16", 0.01), ("int8", 0.1)])
def test_quantized_weights_stay_close(packed, case, quant, limit):
    expected = np.load(GOLDEN / case / "expected.npz")
    model = open_model(packed(case, quant), threads=2)
    got = logits(model, expected["tokens"], [len(expected["tokens"])])
    error = got - expected["logits"]
    assert np.sqrt((error**2).mean()) < limit * expected["logits"].std()
    model.close()


def test_a_softcapped_model_reads_a_prompt_longer_than_a_batch(packed):
    tokens = np.load(GOLDEN / "gemma2" / "expected.npz")["tokens"]
    model = open_model(packed("gemma2", "float32"), threads=2, batch=8)
    expected = np.load(GOLDEN / "gemma2" / "expected.npz")["logits"][-1]
    assert np.abs(model.forward(tokens)[0] - expected).max() < TOLERANCE
    model.close()


def test_numbers_that_make_no_sense_are_refused(packed):
    file = EdgeFile(packed("smollm2", "float32"))
    for wrong in ({"context": -5}, {"batch": 0}, {"threads": -1}, {"outputs": 0}):
        with pytest.raises(EdgeError, match="expected at least 1"):
            Model(file, **wrong)
    with pytest.raises(DoesNotFit):
        Model(file, context=2**30, threads=64)


def test_a_rewind_before_the_beginning_is_the_beginning(packed):
    model = open_model(packed("smollm2", "float32"), threads=1)
    model.forward([1, 2, 3])
    model.rewind(-7)
    assert model.position == 0
    model.close()
