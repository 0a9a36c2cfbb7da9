"""One engine and one ONNX model in a process of its own: what graphs.py runs side by side.

    python graph_runner.py edge|onnxruntime MODEL THREADS INPUTS.npz

Says how long it took to open, then answers each line "repetitions" on its input with milliseconds a run,
and the empty line with the largest private memory so far in bytes, less what Python and NumPy take.
"""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Run = Callable[[], object]


def private_bytes() -> int:
    """What the process has in memory that is no file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


class Peak:
    """The largest of what a thread sees every 2 ms."""

    def __init__(self) -> None:
        self.before = self.bytes = private_bytes()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, private_bytes())
            time.sleep(0.002)


def open_edge(path: str, threads: int, feeds: dict[str, np.ndarray]) -> Run:
    import edge

    session = edge.load(path, threads=threads)
    return lambda: session.run(None, feeds)


def open_onnxruntime(path: str, threads: int, feeds: dict[str, np.ndarray]) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


ENGINES = {"edge": open_edge, "onnxruntime": open_onnxruntime}


def main(engine: str, path: str, threads: str, inputs: str) -> None:
    feeds = dict(np.load(inputs))
    peak, started = Peak(), time.perf_counter()
    run = ENGINES[engine](path, int(threads), feeds)
    run()
    print(1e3 * (time.perf_counter() - started), flush=True)
    for line in sys.stdin:
        if not line.strip():
            print(peak.bytes - peak.before, flush=True)
            continue
        print(*(_timed(run) for _ in range(int(line))), flush=True)


def _timed(run: Run) -> float:
    started = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
