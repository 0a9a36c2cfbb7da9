"""QUALITY.md: what quality.py measured, as a table."""

from pathlib import Path

from pareto import chart

RECIPES = [
    "int8-g0",
    "int8",
    "int4-g64",
    "int4-g64:hqq",
    "int4-g64:mse",
    "int4-g64:aciq",
    "int4-g64:awq",
    "int4-g64:awq+clip",
    "int4-g64:gptq",
    "int4-g64:awq+gptq",
    "int4-g64:awq+clip+gptq",
    "int4-g128:awq+clip+gptq",
    "int4:hqq",
    "int4:mse",
    "int4:awq+gptq",
    "int4:awq+clip+gptq",
    "int4-attention8",
    "int4-calibrated",
    "int4:awq+clip+gptq,*.attention.*=int8",
    "int4:awq+clip+gptq,*.value=int8,*.down=int8",
    "w4a8kv8:awq+clip+gptq,*.value=int8",
]
CHART = "quality.svg"
HEAD = """# Quality of the recipes

    python benchmarks/quality.py {model} FOLDER --text {text} \\
        --chunks {chunks} --calibration {calibration} [--llama FOLDER]

{scored} tokens scored in windows of 512 (second halves), against the float32 export of the same
weights. KL divergence in nats a token and its standard error. Data-aware methods and llama.cpp's
importance matrix read {calibration} windows of Python's documentation (the calibration domain): ours
lie evenly over it, llama.cpp's are its first. What is scored is another domain. Bits a weight: all
tensors of the file, padding and the int8 embedding included; llama.cpp's embedding is q8_0. edge
computes with 8-bit activations, llama.cpp too. Seconds are of a shared machine, with everything that
was not there yet.

The checkpoint was Q4_1 and is taken off that grid by random factors of channels; groups of 32 still
lie where its blocks lay, which may favour formats of 32, ours and llama.cpp's. A row of 576 weights
is padded to 640 for groups of 64, so that groups of 32 cost hardly more in this model.

| recipe | bits a weight | KL | perplexity | same top token | seconds | fell back |
|---|---|---|---|---|---|---|
"""


def write(rows: dict[str, dict], path: Path, args) -> None:
    head = HEAD.format(
        model=args.model.name,
        chunks=args.chunks,
        calibration=args.calibration,
        scored=args.chunks * 255,
        text=args.text.name,
    )
    ordered = sorted(rows.values(), key=lambda row: (row["name"].startswith("llama"), -row["kl"]))
    path.write_text(head + "".join(map(_line, ordered)) + f"\n![Chart]({CHART})\n")
    path.with_name(CHART).write_text(chart(ordered))


def _line(row: dict) -> str:
    seconds = f"{row['seconds']:.0f}" if row.get("seconds") else ""
    return (
        f"| {row['name']} | {row['bits']:.2f} | {row['kl']:.4f} ± {row['kl_se']:.4f} "
        f"| x {row['perplexity_ratio']:.3f} | {row['top1']:.1%} | {seconds} "
        f"| {row.get('fallbacks') or ''} |\n"
    )
