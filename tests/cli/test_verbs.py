"""The other verbs: their documents, and what they say about files that are broken."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_model

from edge.cli import machine, memory
from edge.cli.progress import Progress
from edge.exporter.allocation.mixed import FORMATS
from edge.exporter.recipe import RECIPES
from edge.runtime import bandwidth

GOLDEN = Path(__file__).parents[1] / "golden"
WORDS = "the quick brown fox jumps over the lazy dog and then some more of them " * 20


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text(WORDS)
    return tmp_path / "text.txt"


def broken(model, tmp_path, at=-100):
    """A copy with one wrong bit in a weight."""
    content = bytearray(Path(model).read_bytes())
    content[at] ^= 1
    (tmp_path / "broken.edge").write_bytes(content)
    return tmp_path / "broken.edge"


def test_show_has_the_contracts_keys(cli_json, model):
    document = cli_json("show", model)
    assert list(document) == [
        "kind", "architecture", "parameters", "bytes", "bits_per_weight", "formats",
        "context_length", "recipe", "source", "chat", "memory",
    ]  # fmt: skip
    assert list(document["memory"]) == ["weights", "kv_per_token", "arena"]
    assert document["bytes"] == Path(model).stat().st_size
    assert document["memory"]["kv_per_token"] == 2 * 2 * 2 * 16 * 2  # K, V, layers, heads, bytes


def test_show_measures_the_arena_that_a_model_then_takes(cli_json, model):
    from edge.format.reader import EdgeFile
    from edge.runtime.model import Model

    running = Model(EdgeFile(model))
    assert cli_json("show", model)["memory"]["arena"] == running.arena_bytes
    running.close()


def test_show_reads_well(cli, model):
    code, out, _ = cli("show", model)
    assert code == 0 and "llama, 2 layers of 64" in out and "fits with 256 tokens" in out


def test_verify_is_content_with_a_good_file(cli, cli_json, model):
    assert "all good" in cli("verify", model)[1]
    assert cli_json("verify", model)["broken"] == []


def test_verify_names_what_is_broken(fails, model, tmp_path):
    line = fails("verify", broken(model, tmp_path))
    assert "1 of" in line and "checksums" in line


def test_verify_says_so_in_json_too(cli, model, tmp_path):
    code, out, _ = cli("verify", broken(model, tmp_path), "--json")
    assert code == 1 and len(json.loads(out)["broken"]) == 1


@pytest.mark.parametrize("size", [0, 5, 8, 200, 20000, -64])
def test_a_file_that_was_cut_off_is_one_line(fails, model, tmp_path, size):
    (tmp_path / "cut.edge").write_bytes(Path(model).read_bytes()[:size])
    for verb in ("show", "verify", "bench"):
        fails(verb, tmp_path / "cut.edge")
    fails("run", tmp_path / "cut.edge", "hi")


@pytest.mark.parametrize("content", [b"GGUF" + bytes(100), bytes(4096), b"{}" * 500])
def test_a_file_of_another_kind_is_one_line(fails, tmp_path, content):
    (tmp_path / "other.edge").write_bytes(content)
    assert "other.edge" in fails("show", tmp_path / "other.edge")


def test_eval_has_the_contracts_keys(cli_json, model, text):
    document = cli_json("eval", model, "--text", text, "--ctx", "64", "--chunks", "2")
    assert list(document) == [
        "perplexity", "tokens", "ctx", "kl_mean", "top1_agreement",
        "kl_standard_error", "top1_standard_error",
    ]  # fmt: skip
    assert (document["tokens"], document["ctx"]) == (2 * 31, 64)
    assert document["kl_mean"] is None


def test_a_model_agrees_with_itself(cli_json, model, text):
    document = cli_json("eval", model, "--text", text, "--ctx", "32", "--against", model)
    assert document["kl_mean"] == pytest.approx(0, abs=1e-6)
    assert document["top1_agreement"] == 1


def test_eval_reads_well(cli, model, text):
    code, out, _ = cli("eval", model, "--text", text, "--ctx", "32", "--against", model)
    assert code == 0 and "perplexity" in out and "100.00%" in out


@pytest.mark.parametrize(
    "content, reason", [("", "the text is empty"), ("short", "a window takes 512")]
)
def test_eval_wants_a_text(fails, model, tmp_path, content, reason):
    (tmp_path / "t").write_text(content)
    assert reason in fails("eval", model, "--text", tmp_path / "t")


def test_eval_refuses_to_compare_different_tokenizers(fails, model, text, tmp_path, monkeypatch):
    other = tiny_model.tokenizer()
    other.add_tokens(["quick"])
    monkeypatch.setattr(tiny_model, "tokenizer", lambda: other)
    path = tiny_model.write(tmp_path / "other.edge")
    assert "same tokenizer" in fails("eval", model, "--text", text, "--against", path)


@pytest.fixture
def small_buffer(monkeypatch):
    monkeypatch.setattr(bandwidth, "BYTES", 2**21)


def test_bench_has_the_contracts_keys(cli_json, model, small_buffer):
    document = cli_json("bench", model, "-p", "16", "-n", "4,8", "-t", "1,2", "-r", "2")
    assert list(document) == ["machine", "model", "read_bandwidth_gb_s", "results"]
    assert list(document["read_bandwidth_gb_s"]) == ["1", "2"]
    tests = [(r["test"], r["threads"]) for r in document["results"]]
    assert tests == [("pp16", 1), ("pp16", 2), ("tg4", 1), ("tg4", 2), ("tg8", 1), ("tg8", 2)]
    for result in document["results"]:
        assert list(result) == [
            "test", "threads", "tok_s", "median_tok_s", "gb_s", "bandwidth_share",
            "peak_rss_bytes", "joules_per_token",
        ]  # fmt: skip
        assert len(result["tok_s"]) == 2 and result["joules_per_token"] is None
        assert (result["gb_s"] is None) == result["test"].startswith("pp")


def test_bench_counts_the_bytes_that_a_token_reads(cli_json, model, small_buffer):
    result = cli_json("bench", model, "-p", "0", "-n", "8", "-t", "1", "-r", "1")
    weights = result["model"]["memory"]["weights"] - 272 * 64 * 4  # all but the embedding
    row = result["results"][0]
    assert row["gb_s"] == pytest.approx(row["median_tok_s"] * weights / 1e9, abs=2e-3)


def test_bench_reads_well(cli, model, small_buffer):
    code, out, _ = cli("bench", model, "-p", "8", "-n", "4", "-t", "1", "-r", "1")
    assert code == 0 and "pp8" in out and "read bandwidth" in out


def test_doctor_has_the_contracts_keys_and_passes_its_test(cli_json):
    document = cli_json("doctor")
    assert list(document) == [
        "cpu",
        "kernels",
        "memory",
        "fits",
        "sensors",
        "throttling",
        "thread_knees",
        "cooling",
        "products",
    ]
    assert document["products"]["gb_s"].keys() >= {str(form) for form in FORMATS}
    test = document["kernels"]["self_test"]
    assert test["passed"] is True and test["kernels"] > 30
    assert document["kernels"]["source"] in ("numba", "prebuilt") and document["kernels"]["why"]
    assert document["fits"]["int4"] > document["fits"]["int8"] >= 0
    assert all(s["present"] == (s["reason"] is None) for s in document["sensors"])


def test_what_the_doctor_said_is_a_budget_of_an_export(cli, cli_json, fails, tmp_path):
    said = tmp_path / "device.json"
    said.write_text(json.dumps(cli_json("doctor")))
    source = GOLDEN / "llama3"
    out = tmp_path / "out.edge"
    code, _, _ = cli("export", source, "-o", out, "--quant", "mixed:99ms", "--doctor", said)
    assert code == 0 and out.exists()
    said.write_text('{"cpu": 1}')
    usual = ("export", source, "-o", out, "--quant", "mixed:99ms")
    code, _, err = cli(*usual, "--doctor", said)
    assert code == 2 and "expected what `edge doctor --json` prints" in err
    assert "--doctor FILE" in fails(*usual)


def test_doctor_names_kernels_that_compute_something_else(cli, monkeypatch):
    monkeypatch.setattr("edge.runtime.selftest.ROUNDING", 1e-12)
    code, out, err = cli("doctor")
    assert code == 1 and "FAILED" in out
    assert err.startswith("edge: error: ") and "matmul-int8" in err


def test_a_board_is_called_by_its_name(tmp_path):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/cpuinfo").write_text("processor: 0\nmodel name\t: Fast CPU\n")
    assert machine.cpu_model(tmp_path) == "Fast CPU"
    (tmp_path / "proc/device-tree/model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    assert machine.cpu_model(tmp_path) == "Raspberry Pi 5 Model B Rev 1.0"


def test_unknown_memory_is_none(tmp_path):
    assert machine.memory(tmp_path)["available"] is None
    (tmp_path / "status").write_text("VmHWM:\t  2048 kB\n")
    assert memory.peak_rss(tmp_path / "status") == 2 * 2**20
    assert memory.peak_rss(tmp_path / "missing") > 0  # from the system's other door


def test_export_lists_its_recipes(cli):
    code, out, _ = cli("export", "--quant", "list")
    assert code == 0 and all(name in out for name in RECIPES)


def test_a_recipe_is_explained_and_nothing_written(cli, cli_json, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = "export", GOLDEN / "smollm2", "--explain", "--quant", "int4:mse,*.value=int8"
    code, out, _ = cli(*arguments)
    assert code == 0 and "attention.value" in out and "nothing is written" in out
    document = cli_json(*arguments)
    plans = {plan["name"]: plan for plan in document["classes"]}
    assert plans["attention.value"]["format"] == "int8-g32"
    assert 0 < plans["attention.value"]["error"] < plans["attention.query"]["error"] < 0.2
    assert plans["output_norm"]["error"] is None
    assert document["bytes"] == sum(plan["bytes"] for plan in plans.values())
    assert document["kernels"] == [
        "matmul-int4-g32-offset", "matmul-int8-g32", "embedding-int8-g32",
    ]  # fmt: skip
    document = cli_json(*arguments[:-1], "w4a16,*.value=w8a8t")
    assert document["kernels"] == [
        "weight-only-int4", "matmul-int8-g32", "weight-only-int8", "embedding-int8-g32",
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_an_export_may_be_calibrated(cli_json, tmp_path):
    np.save(tmp_path / "ids.npy", np.random.default_rng(0).integers(0, 100, (8, 16)))
    arguments = GOLDEN / "smollm2", "-o", tmp_path / "out.edge", "--quant", "int4:awq+gptq"
    report = cli_json("export", *arguments, "--calib", tmp_path / "ids.npy")
    assert report["recipe"] == "int4:awq+gptq"
    assert "int4-g32-offset" in {t["format"] for t in report["tensors"]}


@pytest.mark.parametrize("verb", ["export", "convert", "quantize"])
def test_export_has_the_contracts_keys(cli_json, tmp_path, verb):
    output = tmp_path / "out.edge"
    document = cli_json(verb, GOLDEN / "smollm2", "-o", output, "--quant", "int8")
    assert list(document) == [
        "output", "bytes", "bits_per_weight", "recipe", "seconds", "chat", "tensors",
    ]  # fmt: skip
    assert list(document["tensors"][0]) == ["name", "format", "shape", "bytes", "error"]
    assert document["bytes"] == output.stat().st_size
    assert cli_json("verify", output)["broken"] == []


def test_export_writes_a_page_about_it(cli_json, fails, tmp_path):
    arguments = "export", GOLDEN / "smollm2", "-o", tmp_path / "out.edge", "--report"
    cli_json(*arguments, tmp_path / "out.html")
    assert "out.edge" in (tmp_path / "out.html").read_text(encoding="utf-8")
    (tmp_path / "out.edge").unlink()
    assert "no folder" in fails(*arguments, tmp_path / "absent" / "out.html")
    assert not (tmp_path / "out.edge").exists()


def test_export_reads_well(cli, tmp_path):
    code, out, _ = cli("export", GOLDEN / "smollm2", "-o", tmp_path / "out.edge")
    assert code == 0 and "bits a weight (keep)" in out


def test_export_merges_an_adapter(cli_json, fails, tmp_path):
    arguments = "export", GOLDEN / "llama2", "-o", tmp_path / "out.edge", "--lora"
    adapter = GOLDEN / "lora" / "plain"
    assert cli_json(*arguments, adapter)["recipe"] == "keep"
    assert cli_json("show", tmp_path / "out.edge")["source"]["name"] == "llama2 + plain"
    assert "adapter_config.json is missing" in fails(*arguments, GOLDEN / "llama2")
    assert "needs the recipe keep" in fails(*arguments, adapter, "--lora-apart", "--quant", "int8")


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["ollama:nothing/here", "-o", "out.edge"], "Ollama has no model 'nothing/here' here"),
        (["missing.gguf", "-o", "out.edge"], "missing.gguf"),
        ([GOLDEN / "smollm2", "-o", "no/such/folder/out.edge"], "no/such/folder"),
        ([GOLDEN / "smollm2", "-o", "out.edge", "--quant", "int7"], "int7"),
        ([GOLDEN / "smollm2", "-o", "out.edge", "--quant", "int4", "--group", "33"], "33"),
    ],
)
def test_an_export_that_cannot_be_is_one_line(fails, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert reason in fails("export", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_an_export_leaves_the_old_file_and_what_is_done(cli, tmp_path, monkeypatch):
    output = tmp_path / "out.edge"
    output.write_bytes(b"old")

    def press(self, done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "__call__", press)
    code, out, err = cli("export", GOLDEN / "smollm2", "-o", output)
    assert (code, out) == (130, "")
    assert err == (
        f"note: what is done lies in {output}.unfinished; the same command goes on from there\n"
        "edge: interrupted\n"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.edge", "out.edge.unfinished"]
    assert output.read_bytes() == b"old"
