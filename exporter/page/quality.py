"""How far a file is from its float model, on some windows of text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quality:
    """Of `tokens` positions in the second halves of `windows`; see runtime/perplexity.py."""

    windows: int
    tokens: int
    perplexity: float
    kl_mean: float
    kl_standard_error: float
    top1_agreement: float
    top1_standard_error: float
