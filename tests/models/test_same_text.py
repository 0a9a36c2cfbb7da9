"""Every compiled library writes the same text: compiled here or ahead of time, on every CPU.

NumPy adds up in another order.  A float's last bit makes another int8 code now and then, and this
model is sensitive: logits move by 0.6, as between two instruction sets, and one of these texts has
two words 0.2 apart.  tests/runtime/test_numpy_kernels.py compares texts without such ties.
"""

import machine
import pytest

from edge.exporter import export
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from edge.runtime.tokenizer import Tokenizer

GREEDY = {  # SmolLM2-135M-Instruct, Q4_1 kept bit for bit; float16 cache
    "The capital of France is": " Paris.\n\nThe United States has a population of approximately",
    "def fibonacci(n):": "\n    if n == 0:\n        return 1\n   ",
}


@pytest.fixture(scope="module")
def smollm2(test_data, tmp_path_factory):
    """The model as an .edge file, exported here where there is none."""
    try:
        return EdgeFile(test_data("smollm2.edge"))
    except pytest.skip.Exception:
        path = tmp_path_factory.mktemp("smollm2") / "m.edge"
        export(test_data("SmolLM2-135M-Instruct.Q4_1.gguf"), path, quant="keep")
        return EdgeFile(path)


COMPILED = [made for made in machine.libraries() if made[1] != machine.NUMPY]


@pytest.mark.parametrize("kernels", COMPILED, ids=machine.shown, indirect=True)
@pytest.mark.parametrize("prompt", GREEDY)
def test_greedy_text(smollm2, kernels, prompt):
    tokenizer = Tokenizer.of(smollm2)
    model = Model(smollm2, threads=2, context=64, kernels=kernels)
    ids = [int(model.forward(tokenizer.encode(prompt))[0].argmax())]
    while len(ids) < 12:
        ids.append(int(model.forward(ids[-1:])[0].argmax()))
    model.close()
    assert tokenizer.decode(ids) == GREEDY[prompt]
