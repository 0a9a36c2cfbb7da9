"""MINILM.md: what minilm.py measured, as tables."""

from pathlib import Path

RECIPES = [
    "int8",
    "int8-g0",
    "int8-g0:outliers",
    "int4",
    "int4-g64",
    "int4:mse",
    "int4-g64:hqq",
    "int4:gptq",
    "int4:awq+mse+gptq+quantease",
    "int4-calibrated",
    "int4-g64:awq+gptq",
    "int4-g64:awq+mse+gptq+quantease",
    "int4-g64:awq+mse+gptq+quantease,*.value=int8",
    "int4-g128:awq+gptq",
    "int4-g128:awq+mse+gptq+quantease",
    "int4-g128:awq+mse+gptq+quantease,*.value=int8",
]
SPEED_RECIPES = ["int8", "int8-g0"]
GAPS = "texts"
HEAD = """# Sentence embeddings: all-MiniLM-L6-v2

    python benchmarks/minilm.py FOLDER --text {texts} [--onnx PYTHON]

640 sentences, evenly taken from each of {names}.
Cosine of each vector to the one of the float32 export: the mean, and the hundredth that is worst; and
how often the nearest of the other sentences stays the same (standard error 1 to 2 points). That is a
matter of the text, too: the nearest sentence is nearer than the next by a cosine of
{gaps} (medians).
edge computes with 8-bit activations throughout. Data-aware recipes read Python's documentation. The
embedding (11.7 of 22.5 million weights) is int8 in all of them.

"""
SPEED = """
## Speed

One text at a time in milliseconds, edge and ONNX Runtime (dynamic int8, per channel) in turn, medians
over {rounds} turns of 10 texts: by the clock, and in brackets of processor time, all threads together.
Other programs ran on the {cores} cores meanwhile (load average {load:.0f}): where that is much above 1,
only processor time compares. The ratio, above 1 where edge is faster, is of `int8-g0`, by processor
time with one thread and by the clock with two.

| tokens | threads | {names} | ratio |
|---|---|---{columns}|---|
"""


def write(rows: dict[str, dict], path: Path, args) -> None:
    names = [text.name for text in args.text]
    gaps = rows[GAPS]["gaps"]
    text = HEAD.format(
        texts=" ".join(names),
        names=" and ".join(names),
        gaps=" and ".join(f"{gaps[name]:.3f} in {name}" for name in names),
    )
    text += f"| recipe | MB | {' | '.join(f'{name}: mean | worst 1 % | same nearest' for name in names)} |\n"
    text += "|---|---" + "|---" * 3 * len(names) + "|\n"
    quality = [row for row in rows.values() if "texts" in row]
    text += "".join(_line(row, names) for row in sorted(quality, key=lambda row: _mean(row, names)))
    speeds = [row for row in rows.values() if "ms" in row]
    if speeds:
        names = list(speeds[0]["ms"])
        text += SPEED.format(
            rounds=speeds[0]["rounds"],
            cores=speeds[0]["cores"],
            load=max(row["load"] for row in speeds),
            names=" | ".join(names),
            columns="|---" * (len(names) - 1),
        )
        text += "".join(map(_speed, speeds))
    path.write_text(text)


def _mean(row: dict, names: list[str]) -> float:
    return sum(row["texts"][name]["mean"] for name in names)


def _line(row: dict, names: list[str]) -> str:
    found = [row["texts"][name] for name in names]
    cells = [f"{t['mean']:.4f} | {t['p1']:.4f} | {t['nearest']:.1%}" for t in found]
    return f"| `{row['name']}` | {row['bytes'] / 1e6:.1f} | {' | '.join(cells)} |\n"


def _speed(row: dict) -> str:
    cells = [f"{wall:.2f} ({processor:.2f})" for wall, processor in row["ms"].values()]
    by = 1 if row["threads"] == 1 else 0
    ratio = row["ms"]["onnxruntime"][by] / row["ms"]["int8-g0"][by]
    return f"| {row['tokens']} | {row['threads']} | {' | '.join(cells)} | {ratio:.2f}x |\n"
