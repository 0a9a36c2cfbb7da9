"""A quantized model folder, exported and run: what it says is what its weights say."""

import json

import numpy as np
import pytest

from edge.errors import RecipeError, SourceError
from edge.exporter import export
from edge.exporter.explain import explain
from edge.exporter.sources.huggingface import HuggingFaceSource
from edge.format import beside
from edge.format.dequantized import row_blocks
from edge.format.reader import EdgeFile
from edge.format.writer import EdgeWriter
from edge.runtime.libraries.plain import NumpyLibrary
from edge.runtime.model import Model
from tests.exporter import decoder_oracle, quantized_folder
from tests.exporter.quantized_folder import KINDS

EXACT = ("int8", "int4-g32")
# Of an offset of 15 steps at most, half a bit of float16's 11; of a level, half of 1/127 of the
# largest weight of 64, which is about 2.5 deviations.
ROUNDED = {"int4-g32-offset": 2**-11 * 15, "code4-g64": 2.5 / 127 / 2}
TOKENS = [1, 7, 30, 2, 2, 39, 0, 11, 25, 16, 8, 4]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def folder(tmp_path, kind):
    quantized_folder.write(tmp_path / "model", kind)
    return tmp_path / "model"


def logits(path, quant, output):
    export(path, output, quant=quant)
    return run(output)


def run(path):
    model = Model(EdgeFile(path), context=32, outputs=len(TOKENS), threads=1)
    found = model.forward(TOKENS, outputs=len(TOKENS)).copy()
    model.close()
    return found


def test_kept_weights_give_the_logits_of_the_same_weights_as_floats(folder, tmp_path):
    """What differs is int8: activations before each of five products, and the embedding.

    A step is 1/127 of a group's largest, which is about 2.1 deviations of 32: an error of
    2.1 / 127 / sqrt(12) = 0.5 % of a product's spread, 1.2 % for six in a row, and levels of code4
    that are rounded to int8 as much again; softmax and the gate may double it.
    """
    kept = logits(folder, "keep", tmp_path / "kept.edge")
    floats = logits(folder, "float32", tmp_path / "floats.edge")
    error = np.sqrt(((kept - floats) ** 2).mean())
    assert 0 < error < 0.025 * floats.std()


def test_a_matrix_stays_on_its_grid_and_the_report_says_so(folder, tmp_path, kind):
    report = export(folder, tmp_path / "kept.edge", quant="keep")
    form = KINDS[kind][2]
    layers = [i for i in report.tensors if i.name.startswith("layers") and len(i.shape) == 2]
    assert {info.format for info in layers} == {form}
    assert report.notes[0] == "1 of 8 matrices were on no grid of ours, now int8-g32"
    if form in EXACT:
        assert all(info.error == 0.0 for info in layers)
        assert not report.notes[1:]
    else:
        assert all(0 < info.error < ROUNDED[form] for info in layers)
        assert "7 of 8 matrices keep their codes; their scales, offsets or" in report.notes[1]


def test_an_explanation_says_what_would_stay(folder, kind):
    classes = {plan.name: plan for plan in explain(str(folder), "keep").classes}
    plan = classes["feed_forward.down"]
    assert plan.format == KINDS[kind][2]
    assert (plan.error == 0.0) == (plan.format in EXACT)


def test_an_explanation_counts_the_bytes_of_the_export(folder, tmp_path):
    """Orders of columns, too."""
    report = export(folder, tmp_path / "kept.edge", quant="keep")
    assert explain(str(folder), "keep").bytes == sum(info.nbytes for info in report.tensors)


ACT_ORDER = [kind for kind in KINDS if kind.endswith("act-order")]


@pytest.mark.parametrize("kind", ACT_ORDER, indirect=True)
def test_an_order_is_beside_each_matrix_and_shared_where_they_read_the_same(folder, tmp_path):
    report = export(folder, tmp_path / "kept.edge", quant="keep")
    file, shared = EdgeFile(tmp_path / "kept.edge"), set()
    for info in report.tensors:
        stem = info.name.removesuffix(".weight")
        if len(info.shape) == 2 and stem != "embedding":
            groups = quantized_folder.scattered(info.shape[1])
            shared.add(beside.order(file, stem).tobytes())
            assert groups[beside.order(file, stem)].tolist() == sorted(groups)
    assert len(shared) == 2 and file.document["version"] == 3  # of 64 and of 128 columns
    model = Model(file, threads=1)
    kernels = [op.kernel for op in model._program.plan.ops]
    model.close()
    assert kernels.count("take-columns") == 4  # before q, k, v; output; gate, up; down


@pytest.mark.parametrize("kind", ACT_ORDER, indirect=True)
def test_what_is_kept_out_of_order_is_what_the_checkpoint_means(folder, tmp_path):
    """Bit for bit where nothing is rounded; the plan agrees with the definition."""
    path = tmp_path / "kept.edge"
    export(folder, path, quant="keep")
    source = HuggingFaceSource(folder)
    for ours, theirs in (
        ("attention.output", "self_attn.o_proj"),
        ("feed_forward.up", "mlp.up_proj"),
    ):
        found = stored(path, f"layers.0.{ours}.weight")
        meant = source.read(f"model.layers.0.{theirs}.weight")
        exact = EdgeFile(path).info(f"layers.0.{ours}.weight").format in EXACT
        assert np.array_equal(found, meant) if exact else np.abs(found - meant).max() < 0.001
    defined = decoder_oracle.logits(path, np.array(TOKENS))
    assert np.sqrt(((run(path) - defined) ** 2).mean()) < 0.025 * defined.std()
    plain = Model(
        EdgeFile(path), context=32, outputs=len(TOKENS), threads=1, kernels=NumpyLibrary()
    )
    np.testing.assert_allclose(plain.forward(TOKENS, outputs=len(TOKENS)), run(path), atol=2e-3)
    plain.close()


@pytest.mark.parametrize("kind", ACT_ORDER, indirect=True)
def test_an_export_that_was_stopped_between_an_order_and_its_matrix_goes_on(
    folder, tmp_path, monkeypatch
):
    export(folder, tmp_path / "whole.edge", quant="keep")
    add_order = EdgeWriter.add_indices

    def stopped(self, name, values):
        add_order(self, name, values)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(EdgeWriter, "add_indices", stopped)
        export(folder, tmp_path / "kept.edge", quant="keep")
    export(folder, tmp_path / "kept.edge", quant="keep")
    assert (tmp_path / "kept.edge").read_bytes() == (tmp_path / "whole.edge").read_bytes()


@pytest.fixture
def adapter(tmp_path):
    """Of the query and of the matrix down, of rank 2."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 3}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(9)
    tensors = {}
    for module, (rows, columns) in (("self_attn.q_proj", (64, 64)), ("mlp.down_proj", (64, 128))):
        name = f"base_model.model.model.layers.0.{module}"
        tensors[f"{name}.lora_A.weight"] = rng.normal(0, 0.1, (2, columns)).astype(np.float32)
        tensors[f"{name}.lora_B.weight"] = rng.normal(0, 0.3, (rows, 2)).astype(np.float32)
    quantized_folder.save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def stored(path, name):
    """What a matrix of a file means, with what lies beside it."""
    return np.concatenate([values for _, values in row_blocks(EdgeFile(path), name)])


def test_an_adapter_beside_its_matrices_says_what_one_that_is_merged_says(
    folder, adapter, tmp_path, kind
):
    """To float16's rounding of both factors, half of 2^-10 each, and what the base's grid lost."""
    apart, merged = tmp_path / "apart.edge", tmp_path / "merged.edge"
    report = export(folder, apart, lora=adapter, lora_apart=True)
    export(folder, merged, quant="float32", lora=adapter)
    infos = {info.name: info for info in report.tensors}
    for stem in ("layers.0.attention.query", "layers.0.feed_forward.down"):
        form = infos[f"{stem}.weight"].format
        left, right = (stored(apart, f"{stem}.low_rank_{side}") for side in ("left", "right"))
        order = beside.order(EdgeFile(apart), stem)
        right = right if order is None else right[:, np.argsort(order)]
        rounding = np.abs(left) @ np.abs(right) * 2.0**-10
        lost = 0 if form in EXACT else 0.01
        off = stored(apart, f"{stem}.weight") - stored(merged, f"{stem}.weight")
        assert form == KINDS[kind][2] and (np.abs(off) <= rounding + lost + 1e-6).all()
    logits = [run(path) for path in (apart, merged, base_of(folder, tmp_path))]
    spread = logits[1].std()
    assert np.sqrt(((logits[0] - logits[1]) ** 2).mean()) < 0.025 * spread
    assert np.sqrt(((logits[2] - logits[1]) ** 2).mean()) > 0.1 * spread


def base_of(folder, tmp_path):
    export(folder, tmp_path / "base.edge", quant="float32")
    return tmp_path / "base.edge"


def test_an_adapter_beyond_float16_is_not_left_apart(folder, adapter, tmp_path):
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 1e29}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(SourceError, match="beyond float16; merge it"):
        export(folder, tmp_path / "x.edge", lora=adapter, lora_apart=True)


def test_an_adapter_apart_needs_matrices_that_stay(folder, adapter, tmp_path):
    with pytest.raises(RecipeError, match="needs the recipe keep, not 'int8'"):
        export(folder, tmp_path / "x.edge", quant="int8", lora=adapter, lora_apart=True)
    with pytest.raises(RecipeError, match=r"needs a folder \(--lora\)"):
        export(folder, tmp_path / "x.edge", lora_apart=True)
