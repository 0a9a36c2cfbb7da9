"""QUALITY.md: what quality.py measured, as a table."""

from pathlib import Path

from pareto import chart

RECIPES = [
    "int8",
    "w8a8kv8",
    "w8a8kv4",
    "w8a8t",
    "int8-g0",
    "int8-g0:outliers",
    "w8a16:g0",
    "int6",
    "int5:awq+mse+gptq+quantease",
    "int4-g64",
    "int4-g64:hqq",
    "int4-g64:mse",
    "int4-g64:awq",
    "int4-g64:gptq",
    "int4-g64:awq+gptq",
    "int4-g64:awq+mse+gptq",
    "int4-g64:awq+mse+gptq+quantease",
    "int4-g128:awq+mse+gptq+quantease",
    "int4:mse",
    "int4:awq+clip+gptq",
    "int4:awq+mse+gptq+quantease",
    "int4-g256:mse",
    "int4-g256:awq+mse+gptq+quantease",
    "int4-g256:awq+mse+gptq+quantease by self",
    "int4-g256:awq+mse+gptq+quantease by self+text",
    "int4-calibrated",
    "w4a8kv8:awq+mse+gptq+quantease,*.value=int8",
    "int4-attention8",
    "nf4",
    "code4",
    "code4:awq+gptq",
    "int3:awq+mse+gptq+quantease",
    "mixed:4.6:awq+mse+gptq+quantease",
    "mixed:5:awq+mse+gptq+quantease",
    "mixed:5.5:awq+mse+gptq+quantease",
]
CHART = "quality.svg"
HEAD = """# Quality of the recipes

    python benchmarks/llama_cpp.py TOOLS  # builds llama.cpp
    python benchmarks/fetch_handbook.py {text}
    python benchmarks/quality.py {model} FOLDER --text {text} \\
        --chunks {chunks} --calibration {calibration} --llama TOOLS/bin

Against the float32 export of the same weights, on {scored} tokens of each of two texts, in windows of
512 (second halves): KL divergence in nats a token and its standard error, ratio of perplexities,
share of positions with the same likeliest token. *Same domain* is the last fifth of the documentation of
Python's language; data-aware methods, and llama.cpp's importance matrix, read {calibration} windows of its
first four fifths (ours lie evenly over them, llama.cpp's are the first); *by self* windows that the
model wrote, as `--calib self` does, *by self+text* both. *Other domain* is {text}.

Bits a weight: all tensors of the file, padding and the int8 embedding included (llama.cpp's: q8_0); edge
computes with 8-bit activations (but `a16`), llama.cpp too. Seconds are of a shared machine. The checkpoint was Q4_1
and is taken off that grid by random factors of channels; groups of 32 still lie where its blocks lay,
which may favour formats of 32, ours and llama.cpp's. A row of 576 weights is padded to 640 for groups
of 64. In llama.cpp 576 is no multiple of a K-quant's 256: most of its matrices fall back to Q5_0 or
IQ4_NL, so on this model Q4_K_M has 6.2 bits and Q3_K_M 5.5.

| recipe | bits a weight | KL, other domain | perplexity | same top | KL, same domain | other / same | seconds | fell back |
|---|---|---|---|---|---|---|---|---|
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
    same = row["same_domain_kl"]
    return (
        f"| {row['name']} | {row['bits']:.2f} | {row['kl']:.4f} ± {row['kl_se']:.4f} "
        f"| x {row['perplexity_ratio']:.3f} | {row['top1']:.1%} "
        f"| {same:.4f} ± {row['same_domain_kl_se']:.4f} | {row['kl'] / same:.2f} "
        f"| {row['seconds']:.0f} | {row.get('fallbacks') or ''} |\n"
    )
