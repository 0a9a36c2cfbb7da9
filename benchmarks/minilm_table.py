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
    "int4-g64:gptq",
    "int4:clip+gptq",
    "int4:awq+gptq",
]
SPEED_RECIPES = ["int8", "int8-g0"]
HEAD = """# Sentence embeddings: all-MiniLM-L6-v2

    python benchmarks/minilm.py FOLDER --text {text} [--onnx PYTHON]

640 sentences, evenly taken from {text}. Cosine of each vector to the one of the float32 export: the
mean, and the hundredth that is worst; and how often the nearest of the other sentences stays the same.
edge computes with 8-bit activations throughout. Data-aware recipes read Python's documentation. The
embedding (11.7 of 22.5 million weights) is int8 in all of them.

| recipe | MB | mean cosine | worst 1 % | same nearest sentence |
|---|---|---|---|---|
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
    quality = [row for row in rows.values() if "mean" in row]
    text = HEAD.format(text=args.text.name)
    text += "".join(map(_line, sorted(quality, key=lambda row: row["mean"])))
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


def _line(row: dict) -> str:
    return (
        f"| {row['name']} | {row['bytes'] / 1e6:.1f} | {row['mean']:.4f} | {row['p1']:.4f} "
        f"| {row['nearest']:.1%} |\n"
    )


def _speed(row: dict) -> str:
    cells = [f"{wall:.2f} ({processor:.2f})" for wall, processor in row["ms"].values()]
    by = 1 if row["threads"] == 1 else 0
    ratio = row["ms"]["onnxruntime"][by] / row["ms"]["int8-g0"][by]
    return f"| {row['tokens']} | {row['threads']} | {' | '.join(cells)} | {ratio:.2f}x |\n"
