"""benchmarks/ONNX.md from what graphs.py measured."""

import os
from importlib.metadata import version
from pathlib import Path

from graph_cases import CASES
from onnx.backend.test.loader import load_model_tests

PASSING = Path(__file__).parents[1] / "tests" / "onnx_backend" / "passing.txt"
HEAD = """# ONNX models, beside ONNX Runtime

Made by `python benchmarks/graphs.py FOLDER`; ONNX Runtime {runtime}, NumPy {numpy}, {cores} cores,
AVX-512: {wide}. Recipes are `float32` and `int8`, which needs no data; of EfficientNet `int8-calibrated`,
on 60 other inputs, as ONNX Runtime's static int8 was. Inputs are pieces of photographs, sentences of
Python's documentation, a page of a book, a tone, a file.

Of the {cases} cases that the ONNX project tests operators with (onnx {onnx}) {passing} pass, {share:.1%};
`tests/onnx_backend/passing.txt` lists them.

## What comes out

*float32*: the largest difference from ONNX Runtime as a share of the largest number. *int8*: how near the
first output stays to ONNX Runtime's in float32, and how often its largest number is the same one; in
brackets ONNX Runtime's own int8.

| model | inputs | float32 | int8: cosine | int8: same first | MB: ONNX | float32 | int8 (theirs) |
|---|---|---|---|---|---|---|---|
"""
SPEED = """
## Speed

Milliseconds a run, medians over {rounds} turns of 10, each engine in a process of its own (load average
{load:.1f}). *Ratio*: ONNX Runtime's int8 (where it has one, else float32) over edge's int8; above 1 edge
is faster.

| model | threads | edge int8 | edge float32 | ONNX Runtime int8 | ONNX Runtime float32 | ratio |
|---|---|---|---|---|---|---|
"""
MEMORY = """
## Memory and start

The most private memory (MB; kernels from a prebuilt library) while it opened and ran with one thread,
beyond Python's and NumPy's own; in brackets milliseconds from opening the file to the first result.

| model | edge int8 | edge float32 | ONNX Runtime int8 | ONNX Runtime float32 |
|---|---|---|---|---|
"""
ENGINES = ("edge int8", "edge float32", "onnxruntime int8", "onnxruntime float32")


def write(rows: dict[str, dict], path: Path) -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    cases = {case.name for case in load_model_tests(kind="node")}
    passing = cases.intersection(PASSING.read_text().split())
    text = HEAD.format(
        runtime=version("onnxruntime"),
        numpy=version("numpy"),
        onnx=version("onnx"),
        cores=os.cpu_count(),
        wide="with VNNI" if "avx512_vnni" in flags else "no",
        cases=len(cases),
        passing=len(passing),
        share=len(passing) / len(cases),
    )
    models = [case.name for case in CASES if case.name in rows]
    text += "".join(_agreement(name, rows[name]) for name in models)
    timed = {name: row for name, row in rows.items() if "ms" in row}
    if timed:
        load = max(row["load"] for row in timed.values())
        text += SPEED.format(rounds=next(iter(timed.values()))["rounds"], load=load)
        text += "".join(
            _speed(case.name, name, row)
            for case in CASES
            for name, row in timed.items()
            if name.split(";")[0] == case.name
        )
        text += MEMORY
        alone = [(c.name, timed.get(f"{c.name}; 1 threads")) for c in CASES]
        text += "".join(_memory(name, row) for name, row in alone if row)
    path.write_text(text)


def _agreement(name: str, row: dict) -> str:
    def beside(key: str, form: str) -> str:
        theirs = f" ({row['their_' + key]:{form}})" if f"their_{key}" in row else ""
        return f"{row[key]:{form}}{theirs}"

    size = {key: n / 1e6 for key, n in row["bytes"].items()}
    theirs = f" ({size['onnx int8']:.2f})" if "onnx int8" in size else ""
    return (
        f"| {name} | {row['inputs']} | {row['error']:.1e} | {beside('cosine', '.4f')} "
        f"| {beside('first', '.1%')} | {size['onnx']:.2f} | {size['float32']:.2f} "
        f"| {size['int8']:.2f}{theirs} |\n"
    )


def _speed(model: str, name: str, row: dict) -> str:
    ms = row["ms"]
    cells = [f"{ms[engine]:.2f}" if engine in ms else "" for engine in ENGINES]
    peer = ms.get("onnxruntime int8", ms["onnxruntime float32"])
    threads = name.split("; ")[1].split()[0]
    return f"| {model} | {threads} | {' | '.join(cells)} | {peer / ms['edge int8']:.2f}x |\n"


def _memory(model: str, row: dict) -> str:
    cells = [
        f"{row['memory'][e] / 1e6:.1f} ({row['opened'][e]:.0f})" if e in row["memory"] else ""
        for e in ENGINES
    ]
    return f"| {model} | {' | '.join(cells)} |\n"
