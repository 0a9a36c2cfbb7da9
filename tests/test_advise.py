"""edge advise: fixed answers to fixed questions, and figures that are those of the export."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from edge.advice import candidate, machine
from edge.advice.decision import advise
from edge.advice.subject import of_source, open_subject
from edge.cli import main
from edge.errors import DeviceError
from edge.exporter import export
from edge.exporter.sources import Generation
from edge.format.formats import QuantizedTensor, WeightFormat
from edge.format.reader import EdgeFile
from edge.runtime.footprint import footprint
from tests.exporter.memory_source import GOLDEN, golden

# (layers, hidden, feed-forward, query heads, key heads, vocabulary) of published models
SMOLLM2 = 30, 576, 1536, 9, 3, 49152  # 135 M
LLAMA_1B = 16, 2048, 8192, 32, 8, 128256
LLAMA_3B = 28, 3072, 8192, 24, 8, 128256
LLAMA_7B = 32, 4096, 11008, 32, 32, 32000
BITNET_2B = 30, 2560, 6912, 20, 5, 128256


@dataclass
class Header:
    """A source of which nothing but the header can be read, and the grid of quantized ones."""

    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    stored: str = "F16"
    grid: WeightFormat | None = None
    name: str = "model"
    generation: Generation = field(default_factory=Generation)
    norms_are_folded: bool = False
    grids_are_exact: bool = True
    reorders: bool = False

    def names(self):
        return list(self.shapes)

    def shape(self, name):
        return self.shapes[name]

    def stored_type(self, name):
        return self.stored

    def read(self, name):
        raise AssertionError("advice reads no weights")

    def kept(self, name):
        rows, columns = self.shapes[name]
        assert rows * columns < 2**24, "advice looks at small matrices only"
        groups = np.ones((rows, columns // self.grid.group), np.float32)
        return QuantizedTensor(self.grid, np.zeros((rows, columns), np.uint8), groups)

    def tokenizer(self):
        return None

    def digest(self):
        raise AssertionError("advice reads no weights")


def header(size, stored="F16", grid=None, model_type="llama"):
    layers, hidden, feed, heads, kv_heads, vocabulary = size
    dim = hidden // heads
    config = {
        "model_type": model_type, "head_dim": dim, "hidden_size": hidden,
        "intermediate_size": feed, "max_position_embeddings": 8192, "num_attention_heads": heads,
        "num_hidden_layers": layers, "num_key_value_heads": kv_heads, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": size != LLAMA_7B, "vocab_size": vocabulary,
    }  # fmt: skip
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
    if size == LLAMA_7B:
        shapes["lm_head.weight"] = (vocabulary, hidden)
    for i in range(layers):
        layer = f"model.layers.{i}."
        if model_type == "bitnet":
            shapes[layer + "self_attn.attn_sub_norm.weight"] = (hidden,)
            shapes[layer + "mlp.ffn_sub_norm.weight"] = (feed,)
        shapes |= {
            layer + "input_layernorm.weight": (hidden,),
            layer + "post_attention_layernorm.weight": (hidden,),
            layer + "self_attn.q_proj.weight": (hidden, hidden),
            layer + "self_attn.k_proj.weight": (kv_heads * dim, hidden),
            layer + "self_attn.v_proj.weight": (kv_heads * dim, hidden),
            layer + "self_attn.o_proj.weight": (hidden, hidden),
            layer + "mlp.gate_proj.weight": (feed, hidden),
            layer + "mlp.up_proj.weight": (feed, hidden),
            layer + "mlp.down_proj.weight": (hidden, feed),
        }
    if model_type == "bitnet":
        config["hidden_act"] = "relu2"
    return of_source(Header(config, shapes, stored, grid))


Q4_0 = WeightFormat("int4", 32)
SCENARIOS = [
    # a small model, plenty of room: 8 bits, not 4
    (header(SMOLLM2), "pi5-8gb", {}, "int8", "do not quantize this below int8"),
    # a large one: 4 bits, by a text or, without any, by search
    (header(LLAMA_7B), "pi5-8gb", {"data": True}, "int4-calibrated", "int8 would answer with about 1.5"),
    (header(LLAMA_7B), "pi5-8gb", {"data": False}, "int4-search", "int8 would answer with about 1.5"),
    # does not fit in any recipe: what could
    (header(LLAMA_1B), "zero2w", {}, None, "does not fit: the smallest, int4-search"),
    # grids that are there stay
    (header(BITNET_2B, "bitnet", WeightFormat("ternary", 256), "bitnet"), "pi4-4gb", {}, "keep",
     "trained with ternary weights"),
    (header(LLAMA_1B, "Q4_0", Q4_0), "pi4-4gb", {}, "keep", "Q4_0 already: rounding them again"),
    # fast enough decides between 8 and 4 bits; what cannot be reached is said
    (header(LLAMA_3B), "pi5-8gb", {}, "int4-calibrated", "int8 would answer with about 3"),
    (header(LLAMA_3B), "pi4-8gb", {"min_tok_s": 20.0}, "int4-calibrated",
     "no recipe reaches 20 tok/s here"),
    # a small model with little memory or in a hurry: 4 bits after all, and why not
    (header(SMOLLM2), "pi4-4gb", {"min_tok_s": 30.0}, "int4-calibrated",
     "int8 would answer with about 2"),
    (header(LLAMA_1B), "phone-6gb", {}, "int8", "8 bits fit and are fast enough"),
]  # fmt: skip


@pytest.mark.parametrize("subject, device, asked, recipe, reason", SCENARIOS)
def test_a_question_has_its_answer(subject, device, asked, recipe, reason):
    found = advise(subject, machine.named(device), **asked)
    assert (found.recommended.recipe if found.recommended else None) == recipe
    assert reason in found.because[0]
    for c in [found.recommended, *found.alternatives]:
        if c is not None:
            assert c.fits == (c.memory <= found.machine.memory)
            assert c.tok_s * c.bytes <= found.machine.read_gb_s * 1e9 * 1.35  # untied embedding


def test_what_could_fit_and_what_could_be_fast_enough_is_said():
    (reason,) = advise(header(LLAMA_1B), machine.named("zero2w")).because
    assert reason.endswith("million in int8 can") and "million in int4 or" in reason
    found = advise(header(LLAMA_3B), machine.named("pi4-8gb"), min_tok_s=20.0)
    assert "a model of up to 296 million weights in int4 can" in found.because[0]


def test_without_a_text_nothing_that_needs_one_is_offered():
    found = advise(header(LLAMA_3B), machine.named("pi5-8gb"), data=False)
    assert not any(c.needs_data for c in (found.recommended, *found.alternatives))
    either = advise(header(LLAMA_3B), machine.named("pi5-8gb"))
    assert any("--calib" in reason for reason in either.because)


def test_a_cache_of_half_the_bytes_or_less_context_may_make_it_fit():
    subject, roomy = header(LLAMA_7B), machine.named("pi5-8gb")
    free = candidate.of_recipe(subject, "int4-search", roomy, 4096)
    assert free.kv == "float16" and free.context == 4096
    tight = candidate.of_recipe(subject, "int4-search", roomy.with_memory(free.memory - 1), 4096)
    assert tight.kv == "int8" and tight.context == 4096 and tight.fits
    least = candidate.of_recipe(subject, "int4-search", roomy.with_memory(tight.memory - 1), 4096)
    assert least.fits and 512 <= least.context < 4096


# --- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["int8", "int4-search", "int4-calibrated"])
def test_bytes_and_memory_are_those_of_the_file_that_an_export_writes(recipe, tmp_path):
    source, device = golden("smollm2"), machine.named("pi5-8gb")
    predicted = candidate.of_recipe(of_source(source), recipe, device, 64)
    ids = np.random.default_rng(0).integers(0, 100, (8, 16))
    path = export(source, tmp_path / "m.edge", quant=recipe, calib=ids).output
    written = candidate.of_file(open_subject(path), device, 64)
    assert predicted.bytes == written.bytes
    assert (predicted.memory, predicted.tok_s) == (written.memory, written.tok_s)
    parts = footprint(EdgeFile(path))
    assert predicted.memory - candidate.PROCESS >= parts.weights + parts.arena


def test_codes_that_are_kept_are_counted_as_they_will_be_stored():
    subject = header(LLAMA_1B, "Q4_0", Q4_0)
    kept = candidate.of_recipe(subject, "keep", machine.named("pi4-4gb"), 512)
    expected = sum(
        Q4_0.nbytes(*t.stored_shape) for t in subject.model.tensors if len(t.stored_shape) == 2
    )
    vectors = sum(4 * math.prod(t.shape) for t in subject.model.tensors if len(t.shape) == 1)
    assert kept.bytes == expected + vectors


# --- devices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, name, least, most",
    [
        ("pi5-8gb", "Raspberry Pi 5, 8 GB", 7.0, 7.6),
        ("pi5", "Raspberry Pi 5, 8 GB", 7.0, 7.6),
        ("PI4-4GB", "Raspberry Pi 4, 4 GB", 3.2, 3.7),
        ("zero2w", "Raspberry Pi Zero 2 W, 0.5 GB", 0.25, 0.4),
        ("phone-6gb", "Android phone, 6 GB", 2.0, 3.0),
    ],
)
def test_a_device_is_known_by_a_short_name(text, name, least, most):
    found = machine.named(text)
    assert found.name == name and least <= found.memory / 2**30 <= most
    assert found.read_gb_s > 0 and found.source


@pytest.mark.parametrize("text", ["pi9", "pi5-8", "pi5-gb", "", "pi5-8gb\n", "desktop"])
def test_an_unknown_device_lists_those_there_are(text):
    with pytest.raises(DeviceError, match="choose from .*pi5-8gb.*"):
        machine.named(text)


def test_this_machine_is_measured_where_its_profile_knows_no_bandwidth():
    found = machine.this()
    assert found.memory > 0 and found.read_gb_s > 0 and found.source


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_what_to_do_and_why(capsys):
    assert main(["advise", str(GOLDEN / "smollm2"), "--device", "pi5-8gb"]) == 0
    out = capsys.readouterr().out
    assert "recommended: int8" in out and "--quant int8" in out
    assert "why: do not quantize this below int8" in out and "estimates" in out


def test_the_document_holds_all_of_it(capsys, tmp_path):
    asked = ["advise", str(GOLDEN / "bitnet"), "--ram", "2gb", "--json", "--device", "pi4"]
    assert main(asked) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["model", "device", "recommended", "alternatives", "because"]
    assert document["recommended"]["recipe"] == "ternary"
    assert document["device"]["memory"] == 2 * 10**9


def test_a_file_of_ours_is_taken_as_it_is(capsys, tmp_path):
    path = export(golden("smollm2"), tmp_path / "m.edge", quant="float32").output
    assert main(["advise", str(path), "--device", "pi5-8gb"]) == 0
    out = capsys.readouterr().out
    assert "recommended: as it is, float32" in out and "an export with int8 is half" in out


@pytest.mark.parametrize("ram", ["0", "-1", "lots", "1e9", "2tb"])
def test_memory_is_asked_for_in_bytes(ram, capsys):
    assert main(["advise", "x", "--ram", ram]) == 2
    assert "EDGE_RAM" not in (err := capsys.readouterr().err) and err.count("\n") == 1
