"""What each recipe costs in quality: KL divergence from the float model, and llama.cpp beside it.

    python benchmarks/quality.py MODEL.gguf FOLDER --text FILE [--recipes FILE] [--llama BIN]

MODEL is taken off the 4-bit grid it may lie on (degrid.py), and exported as float32: the reference.
Recipes that need data read the first four fifths of the documentation of Python's language
(pydoc_data.topics), which every Python carries.  Scored are the last fifth, of the same domain, and
--text, which should be of another.  FOLDER keeps what was measured, a line a recipe
in results.jsonl: a second run measures only what is missing.  Writes benchmarks/QUALITY.md.
"""

import argparse
import json
import os
import time
from pathlib import Path
from pydoc_data.topics import topics

import llama_quality
import numpy as np
from degrid import Degridded
from quality_table import RECIPES, write

from edge.exporter import pipeline
from edge.exporter.architectures import lower
from edge.exporter.calibration.collect import collect, written_by_itself
from edge.exporter.calibration.corpus import SELF_WINDOWS, mixed, windows
from edge.exporter.sources import open_source
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from edge.runtime.perplexity import log_softmax
from edge.runtime.tokenizer import Tokenizer

CTX = 512


class Bench:
    def __init__(self, model: Path, folder: Path, text: Path, chunks: int, calibration: int):
        folder.mkdir(exist_ok=True)
        self.model, self.folder, self.chunks = model, folder, chunks
        self.calibration = calibration
        self.source = Degridded(open_source(model))
        self.results = folder / "results.jsonl"
        read, held_out = folder / "calibration.txt", folder / "same-domain.txt"
        documentation = "\n".join(topics[key] for key in sorted(topics))
        cut = len(documentation) * 4 // 5
        read.write_text(documentation[:cut])
        held_out.write_text(documentation[cut:])
        self.read, self.texts = read, {"": text, "same_domain_": held_out}

    def known(self) -> dict[str, dict]:
        lines = self.results.read_text().splitlines() if self.results.exists() else []
        return {row["name"]: row for row in map(json.loads, lines)}

    def add(self, row: dict) -> None:
        with open(self.results, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def reference(self) -> Path:
        path = self.folder / "float32.edge"
        if not path.exists():
            pipeline.export(self.source, path, quant="float32")
        return path

    def statistics(self, data: str = "text"):
        """Of "text", of windows that the model writes ("self"), or of both ("self+text")."""
        source = self.source
        model = lower(source)
        ids = windows(self.read, source.tokenizer(), model.config.vocabulary, self.calibration)
        if data != "text":
            own = self._own()
            ids = own if data == "self" else mixed(ids, own)
        return collect(source, model, ids, self.folder / f"calibration-{data}")

    def _own(self) -> np.ndarray:
        path = self.folder / "self.npy"
        if not path.exists():
            np.save(path, written_by_itself(self.source, SELF_WINDOWS, CTX))
        return np.load(path)

    def reference_scores(self, text: Path) -> np.ndarray:
        """float32 [scored positions, vocabulary]: log-probabilities of the float model."""
        path = self.folder / f"reference-{text.stem}-{self.chunks}.npy"
        if not path.exists():
            np.save(path, np.concatenate(list(self._scores(self.reference(), text))))
        return np.load(path, mmap_mode="r")

    def measure(self, name: str) -> None:
        """Export, evaluate, note down; a name is a recipe, and what it read if not text."""
        recipe, _, data = name.partition(" by ")
        path, started = self.folder / f"candidate-{os.getpid()}.edge", time.monotonic()
        calib = self.statistics(data or "text") if pipeline.parse(recipe).needs_data else None
        report = pipeline.export(self.source, path, quant=recipe, calib=calib, force=True)
        seconds = time.monotonic() - started
        row = {"name": name, "bits": report.bits_per_weight, "bytes": report.bytes}
        row |= {"seconds": seconds, "fallbacks": sum("held-out" in n for n in report.notes)}
        for domain, text in self.texts.items():
            row |= {domain + key: value for key, value in self.compare(path, text).items()}
        self.add(row)
        path.unlink()

    def compare(self, path: Path, text: Path) -> dict[str, float]:
        reference = self.reference_scores(text)
        targets = self._targets(text)
        losses, base_losses, divergences, agreements, at = [], [], [], [], 0
        for scores in self._scores(path, text):
            base = reference[at : at + len(scores)]
            wanted = targets[at : at + len(scores)]
            at += len(scores)
            rows = np.arange(len(scores))
            losses.append(-scores[rows, wanted])
            base_losses.append(-base[rows, wanted])
            divergences.append((np.exp(base) * (base - scores)).sum(axis=1, dtype=np.float64))
            agreements.append(scores.argmax(axis=1) == base.argmax(axis=1))
        difference = np.concatenate(losses) - np.concatenate(base_losses)
        divergence = np.concatenate(divergences)
        error = 1 / np.sqrt(len(divergence))
        return {
            "perplexity_ratio": float(np.exp(difference.mean(dtype=np.float64))),
            "perplexity_ratio_se": float(difference.std() * error),
            "kl": float(divergence.mean()),
            "kl_se": float(divergence.std() * error),
            "top1": float(np.concatenate(agreements).mean()),
        }

    def _tokens(self, text: Path) -> np.ndarray:
        ids = Tokenizer.of(EdgeFile(self.reference())).encode(text.read_text(), bos=True)
        return np.array(ids[: self.chunks * CTX]).reshape(self.chunks, CTX)

    def _targets(self, text: Path) -> np.ndarray:
        return self._tokens(text)[:, CTX // 2 + 1 :].ravel()

    def _scores(self, path: Path, text: Path):
        """Log-probabilities at the second half of every window, as `edge eval` takes them."""
        model = Model(EdgeFile(path), context=CTX, outputs=85)
        for window in self._tokens(text):
            model.rewind(0)
            model.forward(window[: CTX // 2])
            for start in range(CTX // 2, CTX - 1, 85):
                part = window[start : min(start + 85, CTX - 1)]
                yield log_softmax(model.forward(part, outputs=len(part)).copy())
        model.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=6)
    parser.add_argument("--calibration", type=int, default=24, metavar="WINDOWS")
    parser.add_argument("--recipes", nargs="*", default=RECIPES)
    parser.add_argument(
        "--llama", type=Path, help="folder of llama-quantize, -imatrix, -perplexity"
    )
    args = parser.parse_args()
    bench = Bench(args.model, args.folder, args.text, args.chunks, args.calibration)
    for recipe in args.recipes:
        if recipe not in bench.known():
            bench.measure(recipe)
    if args.llama:
        llama_quality.measure(bench, args.llama)
    write(bench.known(), Path(__file__).with_name("QUALITY.md"), args)


if __name__ == "__main__":
    main()
