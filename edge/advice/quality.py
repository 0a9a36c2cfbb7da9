"""What a recipe is expected to cost, by the size of the model: measured where we could."""

from __future__ import annotations

from dataclasses import dataclass

SMALL, LARGE = 500_000_000, 3_000_000_000


@dataclass(frozen=True)
class Quality:
    """rank   0 is best; `evidence` says where the word comes from"""

    rank: int
    word: str
    evidence: str


KEPT = Quality(0, "as the source", "the codes are kept")
FLOAT = Quality(0, "lossless", "16-bit floats")
UNKNOWN = Quality(3, "unknown", "edge eval FILE --text TEXT --against FLOAT32 measures it")
# (recipe, size) -> word; sizes: below 500 million weights, below 3 billion, larger.
NEAR = "KL 0.004 on SmolLM2-135M (benchmarks/QUALITY.md)"
EXPECTED = {
    "int8": (Quality(1, "nearly lossless", NEAR),) * 3,
    "int4-calibrated": (
        Quality(3, "noticeable loss", "KL 0.040, perplexity x 1.04 on SmolLM2-135M"),
        Quality(2, "small loss", "perplexity x 1.03 is usual for 1 billion"),
        Quality(2, "small loss", "perplexity x 1.03 is usual, less from 7 billion on"),
    ),
    "int4-search": (
        Quality(5, "large loss", "KL 0.19, perplexity x 1.28 on SmolLM2-135M"),
        Quality(4, "noticeable loss", "perplexity x 1.08 to 1.19 is usual for 1 billion"),
        Quality(3, "small to noticeable loss", "KL 0.07 for Llama-3-8B in Q4_0"),
    ),
}


def expected(recipe: str, parameters: int) -> Quality:
    if recipe.startswith("int8"):  # whatever its groups and scales
        recipe = "int8"
    if recipe in ("keep", "ternary", "ternary-dense", "binary"):
        return KEPT
    if recipe in ("float16", "float32"):
        return FLOAT
    size = 0 if parameters < SMALL else 1 if parameters < LARGE else 2
    return EXPECTED[recipe][size] if recipe in EXPECTED else UNKNOWN
