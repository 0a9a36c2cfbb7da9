"""Opening a file, the first token, and what a decode holds in memory.

python benchmarks/startup.py MODEL.edge [--rounds 5]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

OPEN = """
import sys, time
from edge.format.reader import EdgeFile

def private():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))

before, start = private(), time.perf_counter()
file = EdgeFile(sys.argv[1])
print((time.perf_counter() - start) * 1e3, (private() - before) / 1e3)
"""


DECODE = """
import sys, time
start = time.perf_counter()
import edge

session = edge.load(sys.argv[1], threads=2, context=512)
pieces = iter(session.stream("Once upon a time", max_tokens=64, temperature=0.0))
next(pieces)
first = time.perf_counter() - start
for piece in pieces:
    pass
with open("/proc/self/smaps_rollup") as file:
    kb = {line.split()[0]: int(line.split()[1]) for line in file if line.startswith("Private_")}
print(first, kb["Private_Dirty:"] / 1e3, sum(kb.values()) / 1e3, session.model.cache.shape.nbytes / 1e6)
print("numba" in sys.modules, "llvmlite" in sys.modules)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    opened = [_output([sys.executable, "-c", OPEN, model]) for _ in range(arguments.rounds)]
    times, private = zip(*(map(float, line.split()) for line in opened), strict=True)
    size = model.stat().st_size / 1e6
    print(f"open {size:.0f} MB: {statistics.median(times):.1f} ms, {max(private):.2f} MB private")
    command = [sys.executable, "-m", "edge", "run", model, "--raw", "Once upon a time", "-c", "512"]
    first = []
    for _ in range(arguments.rounds + 1):  # the first round warms the caches
        start = time.perf_counter()
        _output([*command, "-n", "1"])
        first.append(time.perf_counter() - start)
    print(f"first token of a new process: {statistics.median(first[1:]):.2f} s")
    _decode(model, arguments.rounds)
    started = time.perf_counter()
    _output([sys.executable, "-m", "edge", "--version"])
    print(f"edge --version: {time.perf_counter() - started:.2f} s")


def _decode(model: Path, rounds: int) -> None:
    """The first token from `import edge` on, and memory that is this process's alone."""
    lines = [_output([sys.executable, "-c", DECODE, model]).splitlines() for _ in range(rounds + 1)]
    first, dirty, private, cache = zip(*(map(float, f.split()) for f, _ in lines[1:]), strict=True)
    numba, llvmlite = lines[0][1].split()
    print(
        f"import to first token: {statistics.median(first):.2f} s (Numba {numba}, LLVM {llvmlite})"
    )
    print(
        f"written to by this process: {max(dirty):.0f} MB, some of them the KV cache of "
        f"{cache[0]:.0f} MB; private in all, with what it maps alone: {max(private):.0f} MB"
    )


def _output(command: list) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
