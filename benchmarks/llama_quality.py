"""llama.cpp's quantizations of the same float model, measured with its own tools."""

import re
import subprocess
import time
from pathlib import Path

import gguf
import numpy as np

TYPES = ("Q8_0", "Q5_K_M", "Q4_0", "Q4_K_M", "Q4_K_S", "Q3_K_M")
OURS = {  # GGUF's names of what degrid.py multiplies -> ours
    "attn_norm": "attention_norm",
    "attn_q": "attention.query",
    "attn_k": "attention.key",
    "attn_v": "attention.value",
    "attn_output": "attention.output",
    "ffn_norm": "feed_forward_norm",
    "ffn_gate": "feed_forward.gate",
    "ffn_up": "feed_forward.up",
    "ffn_down": "feed_forward.down",
}


def measure(bench, tools: Path) -> None:
    run = _Run(bench, tools)
    for kind in TYPES:
        for imatrix in (False, True):
            name = f"llama.cpp {kind}{' with imatrix' if imatrix else ''}"
            if name not in bench.known() and not (imatrix and kind == "Q8_0"):
                bench.add({"name": name} | run.measure(kind, imatrix))


class _Run:
    def __init__(self, bench, tools: Path):
        self.bench, self.tools, self.folder = bench, tools, bench.folder
        self.float = self.folder / "float32.gguf"
        if not self.float.exists():
            write_gguf(bench, self.float)
        for text in bench.texts.values():
            if not self._base(text).exists():
                self._perplexity(self.float, text)

    def measure(self, kind: str, imatrix: bool) -> dict:
        out, started = self.folder / "candidate.gguf", time.monotonic()
        options = ["--imatrix", self._imatrix()] if imatrix else []
        options += ["--token-embedding-type", "q8_0"]
        self._tool("llama-quantize", *options, self.float, out, kind, "2")
        seconds = time.monotonic() - started
        row: dict = {"seconds": seconds}
        for domain, text in self.bench.texts.items():
            numbers = _numbers(self._perplexity(out, text, "--kl-divergence"))
            row |= {domain + key: value for key, value in numbers.items()}
        elements = sum(int(np.prod(t.shape)) for t in gguf.GGUFReader(out).tensors)
        size = sum(int(t.n_bytes) for t in gguf.GGUFReader(out).tensors)
        out.unlink()
        return {"bits": 8 * size / elements, "bytes": size} | row

    def _base(self, text: Path) -> Path:
        return self.folder / f"base-{text.stem}-{self.bench.chunks}.kld"

    def _perplexity(self, model: Path, text: Path, *options: str) -> str:
        what = ["-f", text, "-c", "512", "--chunks", self.bench.chunks, "-t", "2"]
        base = ["--kl-divergence-base", self._base(text)]
        return self._tool("llama-perplexity", "-m", model, *what, *base, *options)

    def _imatrix(self) -> Path:
        """From the text that our recipes calibrate with, as much of it as they read."""
        path = self.folder / "imatrix.gguf"
        if not path.exists():
            text = ["-f", self.bench.read, "-c", "512", "-t", "2"]
            count = ["--chunks", str(self.bench.calibration)]
            self._tool("llama-imatrix", "-m", self.float, *text, *count, "-o", path)
        return path

    def _tool(self, name: str, *arguments) -> str:
        command = [str(self.tools / name), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr


def _numbers(told: str) -> dict[str, float]:
    def found(label: str) -> tuple[float, float]:
        match = re.search(rf"{label}\s*:\s*([-0-9.]+)\s*±\s*([0-9.]+)", told)
        return float(match[1]), float(match[2])

    ratio, kl, top = found(r"Mean PPL\(Q\)/PPL\(base\)"), found("Mean    KLD"), found("Same top p")
    return {
        "perplexity_ratio": ratio[0],
        "perplexity_ratio_se": ratio[1],
        "kl": kl[0],
        "kl_se": kl[1],
        "top1": top[0] / 100,
    }


def write_gguf(bench, path: Path) -> None:
    """The model off its grid, as float32, in llama.cpp's order of rows."""
    reader = gguf.GGUFReader(bench.model)
    factors = bench.source._weights.factors
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor.name)
        ours = f"layers.{match[1]}.{OURS[match[2]]}.weight" if match else ""
        if ours in factors:
            values = factors[ours].apply(values)
        writer.add_tensor(tensor.name, np.ascontiguousarray(values, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
