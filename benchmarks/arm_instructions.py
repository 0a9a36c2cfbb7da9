"""Count executed aarch64 instructions per token, edge's and llama.cpp's, on emulated CPUs.

    python benchmarks/arm_instructions.py WORK [MODEL.gguf ...] [--cpu cortex-a76 ...]

The first run builds, under WORK, an emulator, llama.cpp for the CPUs, edge's kernels, and the
models (SmolLM2 Q4_1, and a small BitNet of random weights, unless others are named): half an hour.
Needs Debian on x86-64 with cmake, g++, g++-aarch64-linux-gnu, and edge with Numba and gguf.

Counts are exact and the same in every run.  They compare code; they are not seconds: cache,
bandwidth and latency are not in them.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import fetch_model
import random_models
from arm import peer, places
from arm.emulator import CHECKOUT, Emulator

PREFILL, DECODE = 64, 8
PROMPT = [504, 3575, 282, 4649, 314]  # "The capital of France is" where the model is SmolLM2
CPUS = {  # QEMU's name: edge's target, GCC's architecture for llama.cpp
    "cortex-a72": ("aarch64", "armv8-a"),
    "cortex-a76": ("aarch64-dotprod", "armv8.2-a+dotprod+fp16"),
    "max": ("aarch64-i8mm", "armv8.2-a+dotprod+fp16+i8mm"),
}


@dataclass
class Result:
    """Instructions per token, by class of instruction; what region 1 and 2 of a program did."""

    text: str
    prefill: Counter[str]
    decode: Counter[str]
    where: dict[str, Counter[str]]  # edge's, by place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--cpu", choices=CPUS, nargs="+", default=["cortex-a72", "cortex-a76"])
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    emulator = Emulator(work)
    for gguf in [path.resolve() for path in arguments.models] or make_models(work):
        for cpu in arguments.cpu:
            target, architecture = CPUS[cpu]
            theirs = run_llama(emulator, cpu, peer.build(work, architecture), gguf)
            ours = run_edge(emulator, cpu, kernels(work, target), exported(work, gguf))
            report(f"{gguf.stem}, {cpu}", ours, theirs)


def make_models(work: Path) -> list[Path]:
    models = work / "SmolLM2-135M-Instruct.Q4_1.gguf", work / "bitnet-small-tq2_0.gguf"
    if not models[0].exists():
        fetch_model.main(models[0])
    if not models[1].exists():
        shape = random_models.SHAPES["bitnet-small"]
        random_models.write(shape, random_models.TYPES["tq2_0"], str(models[1]))
    return [*models]


def exported(work: Path, gguf: Path) -> Path:
    """The same weights as an .edge file."""
    out = work / f"{gguf.stem}.edge"
    if not out.exists() or out.stat().st_mtime < gguf.stat().st_mtime:
        _edge("export", gguf, "-o", out)
    return out


def kernels(work: Path, target: str) -> Path:
    """A folder with the target's kernel library, up to date."""
    folder = work / "kernels"
    folder.mkdir(mode=0o700, exist_ok=True)
    _edge("compile", "--target", target, "-o", folder)
    return folder


def _edge(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "edge", *arguments]
    subprocess.run(command, check=True, cwd=CHECKOUT, stdout=subprocess.DEVNULL)


def run_edge(emulator: Emulator, cpu: str, libraries: Path, model: Path) -> Result:
    environment = {
        "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1", "EDGE_CACHE": str(libraries),
        "ARM64_PYTHON": str(emulator.folder / "python"),
    }  # fmt: skip
    guest = CHECKOUT / "benchmarks/arm/guest.py"
    command = [*emulator.python(), "-P", guest, model, *_numbers()]
    printed, regions = emulator.count(cpu, command, environment)
    document = json.loads(printed)
    sizes = {"prefill": PREFILL, "decode": document["tokens"]}
    where = {
        name: _per_token(places.by_place(counts, document), size)
        for (name, size), counts in zip(sizes.items(), (regions[1], regions[2]), strict=True)
    }
    classes = [_classes(regions[1], PREFILL), _classes(regions[2], document["tokens"])]
    return Result(f"{document['text']!r} by {document['library']}", *classes, where)


def run_llama(emulator: Emulator, cpu: str, program: Path, model: Path) -> Result:
    printed, regions = emulator.count(cpu, [program, model, *_numbers()])
    classes = [_classes(regions[1], PREFILL), _classes(regions[2], DECODE)]
    return Result(repr(printed), *classes, {})


def _numbers() -> list[str]:
    return [str(n) for n in (PREFILL, DECODE, *PROMPT)]


def _classes(counts: places.Counts, tokens: int) -> Counter[str]:
    totals: Counter[str] = Counter()
    for (_, kind), count in counts.items():
        totals[kind] += count
    return _per_token(totals, tokens)


def _per_token(counts: Counter[str], tokens: int) -> Counter[str]:
    return Counter({name: round(count / tokens) for name, count in counts.items()})


def report(title: str, ours: Result, theirs: Result) -> None:
    print(f"\n## {title}\n\nedge: {ours.text}\nllama.cpp: {theirs.text}\n")
    print("| million instructions a token | total | simd | memory | branch | other |")
    print("|---|---|---|---|---|---|")
    for stage in ("decode", "prefill"):
        for name, result in (("edge", ours), ("llama.cpp", theirs)):
            counts: Counter[str] = getattr(result, stage)
            row = [counts.total(), *(counts[k] for k in ("simd", "memory", "branch", "other"))]
            print(f"| {stage}, {name} |", " | ".join(f"{n / 1e6:.2f}" for n in row), "|")
        ratio = getattr(ours, stage).total() / getattr(theirs, stage).total()
        print(f"| {stage}, edge / llama.cpp | {ratio:.2f} | | | | |")
    for stage, where in ours.where.items():
        places_ = [f"{name} {n / 1e6:.3f}" for name, n in where.most_common(14)]
        print(f"\nedge, {stage}: " + ", ".join(places_))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
