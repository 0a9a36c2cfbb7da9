"""The page about an export: well formed, on its own, escaped, and true."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edge.errors import FormatError, SourceError
from edge.exporter import cautions, export
from edge.exporter.architectures import lower
from edge.exporter.calibration.collect import collect
from edge.exporter.calibration.compare import compare
from edge.exporter.verification import verify
from edge.exporter.weights import Weights
from edge.format.reader import EdgeFile
from edge.format.spec import TensorInfo
from edge.runtime.model import Model
from edge.runtime.perplexity import evaluate
from tests.exporter.memory_source import GOLDEN, GOLDENS, golden, tiny_llama

VOID = {"meta", "br"}
IDS = np.random.default_rng(0).integers(0, 40, (40, 24))


class Page(HTMLParser):
    """Every tag closed in its turn; texts and attributes kept."""

    def __init__(self, path: Path):
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def exported(source, folder: Path, quant: str, **settings):
    report = export(source, folder / "m.edge", quant=quant, report=folder / "m.html", **settings)
    return report, Page(folder / "m.html")


@pytest.mark.parametrize(
    "quant",
    [
        "keep",
        "int8",
        "int4-search",
        "float16",
        "mixed:9",
        "code4",
        "int3",
        "int4:sparse",
        "int8:lorc",
    ],
)
def test_a_page_is_well_formed_and_needs_nothing_else(quant, tmp_path):
    _, page = exported(tiny_llama(), tmp_path, quant)
    raw = (tmp_path / "m.html").read_text(encoding="utf-8")
    assert raw.startswith("<!doctype html>") and "Every tensor" in page.text
    names = {tag for tag, _ in page.tags}
    assert {"svg", "table", "title"} <= names
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"(https?:)?//|url\(|@import", raw)
    for _, attributes in page.tags:
        assert not attributes.keys() & {"href", "src", "style", "onload", "xlink:href"}
    for tag, attributes in page.tags:
        if tag == "rect":
            assert all(float(attributes[name] or "") >= 0 for name in ("width", "height", "x", "y"))
    assert "nan" not in raw and "inf%" not in raw
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_names_from_files_are_text_on_the_page(tmp_path):
    source = tiny_llama()
    source.name = "<script>alert('x')</script> & \"co\""
    _, page = exported(source, tmp_path, "int4")
    assert source.name in page.text
    assert "script" not in {tag for tag, _ in page.tags}


def test_the_figures_are_those_of_the_report(tmp_path):
    report, page = exported(golden("smollm2"), tmp_path, "int4-search")
    assert f"{report.bits_per_weight:.2f} bits a weight" in page.text.replace("\n", "").replace(
        "  ", " "
    )
    worst = max(t.error or 0 for t in report.tensors if t.name.startswith("layers."))
    assert f"the darkest is {worst:.2%}" in page.text
    for tensor in report.tensors:
        assert tensor.name in page.texts
    assert "4 bits without calibration on a model of" in page.text


def test_a_page_tells_where_data_did_not_help(tmp_path):
    """What is held out has other tokens than what is chosen by."""
    ids = IDS % 20
    ids[7::8] += 20
    report, page = exported(tiny_llama(), tmp_path, "int4:clip+gptq", calib=ids)
    fallen = [note for note in report.notes if "held-out" in note]
    assert fallen and "Where data did not help" in page.text
    assert all(note.partition(":")[0] in page.texts for note in fallen)
    assert f"in {len(fallen)} of 8 matrices the data-aware method did worse" in page.text
    assert "calibrated on 40 windows of text" in page.text
    assert "Against the float model" in page.text
    assert not (tmp_path / "m.edge.unfinished").exists()


@pytest.mark.parametrize("quant", ["int8", "int4:gptq"])
def test_a_text_is_enough_to_say_how_far_the_model_moved(quant, tmp_path):
    _, page = exported(tiny_llama(), tmp_path, quant, calib=IDS)
    assert "Against the float model" in page.text
    assert ("of 4 windows" in page.text) and "KL divergence" in page.texts
    assert {path.name for path in tmp_path.iterdir()} == {"m.html", "m.edge"}


@pytest.mark.parametrize("name", [n for n in GOLDENS if "bitnet" not in n])
def test_what_calibration_ran_is_the_float_model(name, tmp_path):
    """Beside a float32 export, divergence from recorded hidden states is rounding noise; beside
    an int4 one it is what two models side by side have."""
    source = golden(name)
    model = lower(source)
    ids = np.random.default_rng(0).integers(0, model.config.vocabulary, (2, 24))
    hidden = collect(source, model, ids, tmp_path / "s").hidden(model.config.layers - 1)
    paths = [export(source, tmp_path / f"{q}.edge", quant=q).output for q in ("float32", "int4")]
    exact, rounded = (compare(path, source, model, ids, hidden) for path in paths)
    assert exact.kl_mean == pytest.approx(0, abs=1e-6) and exact.top1_agreement == 1
    models = [Model(EdgeFile(path), context=24, outputs=12, kv="float16") for path in paths]
    side_by_side = evaluate(models[1], ids.ravel().tolist(), ctx=24, reference=models[0])
    assert rounded.kl_mean == pytest.approx(side_by_side.kl_mean, rel=0.02, abs=1e-4)
    for each in models:
        each.close()


def test_a_page_never_replaces_a_model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((GOLDEN / "smollm2" / name).read_bytes())
    weights, output = folder / "model.safetensors", tmp_path / "m.edge"
    (tmp_path / "other.edge").write_bytes(b"a model")
    for page in (output, weights, folder / "config.json", tmp_path / "other.edge"):
        before = page.read_bytes() if page.exists() else None
        with pytest.raises(SourceError, match="would replace a model|belongs to the source model"):
            export(folder, output, report=page)
        assert (page.read_bytes() if page.exists() else None) == before


# --- what is read again ---------------------------------------------------------------------------


def test_a_file_is_read_again_after_it_was_written(tmp_path):
    source = golden("smollm2")
    output = export(source, tmp_path / "m.edge", quant="int4,*.value=int8").output
    weights = Weights(source, lower(source))
    verify(output, weights)
    info = EdgeFile(output).info("layers.0.attention.value.weight")
    data = bytearray(output.read_bytes())
    data[info.offset + 100] ^= 1
    output.write_bytes(data)
    with pytest.raises(FormatError, match="'layers.0.attention.value.weight' read again has other"):
        verify(output, weights)


def test_an_error_that_is_not_what_was_recorded_is_found(tmp_path):
    source = golden("smollm2")
    output = export(source, tmp_path / "m.edge", quant="int4").output
    for name in source.tensors:
        if "proj" in name:
            source.tensors[name] = source.tensors[name] * np.float32(1.01)
    with pytest.raises(FormatError, match="read again has an error of"):
        verify(output, Weights(source, lower(source)))


# --- cautions -------------------------------------------------------------------------------------


def info(name, error):
    return TensorInfo(name, "int4-g32-offset", (4, 4), 0, 64, "", error)


def test_a_tensor_far_above_its_kind_is_named():
    tensors = [info(f"layers.{i}.feed_forward.down.weight", 0.1) for i in range(9)]
    tensors[4] = replace(tensors[4], error=0.31)
    (text,) = cautions.after(tensors, [], None)
    assert text.startswith("layers.4.feed_forward.down.weight: its error of 31.00%")
    assert "layers.4.feed_forward.down=int8" in text


def test_a_short_calibration_is_said_to_be_short():
    assert cautions.after([], [], 16) == ()
    assert "calibrated on 15 windows of text only" in cautions.after([], [], 15)[0]
