"""A sentence encoder as data: layers whose tokens see each other, and how a text becomes a vector."""

from dataclasses import dataclass
from typing import Any

from .config import MAX_VOCABULARY, MAX_WIDTH
from .fields import require, typed_fields

ACTIVATIONS = ("exactgelu", "tanhgelu", "relu")
POOLINGS = ("mean", "cls", "max")
MAX_CONTEXT = 2**16


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that distinguishes one BERT from another (Devlin et al. 2018, arXiv:1810.04805).

    Residuals are normalized after they are added; every matrix and norm has a bias.
    """

    architecture: str  # the family's name, for people
    layers: int
    hidden: int
    heads: int
    head_dim: int  # a multiple of 16
    feed_forward: int
    vocabulary: int
    context: int  # tokens of a text that are read, special ones included
    norm_epsilon: float
    attention_scale: float  # what q.k is multiplied by
    activation: str = "exactgelu"  # exactgelu (with erf), tanhgelu, relu
    pooling: str = "mean"  # of the last layer's tokens: mean, max, or cls, the first one
    normalize: bool = True  # to unit length

    @property
    def position_width(self) -> int:
        """Floats from one position to the next in the table of positions: whole vectors of 16."""
        return -(-self.hidden // 16) * 16


def from_json(document: dict[str, Any], where: str) -> EncoderConfig:
    """Read and check an encoder's configuration; `where` names the file in errors."""
    config = EncoderConfig(**typed_fields(EncoderConfig, document, where))
    _check(config, f"{where}: EncoderConfig")
    return config


def _check(c: EncoderConfig, where: str) -> None:
    """Relations between fields that the plan and the kernels rely on."""
    name = c.architecture
    require(where, name.isprintable() and len(name) <= 100, "architecture: a short line", name)
    require(where, 1 <= c.layers <= 1024, "1..1024 layers", c.layers)
    sizes = c.hidden, c.feed_forward, c.vocabulary, c.context, c.heads
    expected = "hidden, feed_forward, vocabulary, context, heads from 1"
    require(where, min(sizes) >= 1, expected, sizes)
    dim = c.head_dim
    require(where, dim % 16 == 0 and 16 <= dim <= 1024, "head_dim of 16, 32 .. 1024", dim)
    widths = c.hidden, c.feed_forward, c.heads * dim
    expected = f"hidden, feed_forward, heads * head_dim at most {MAX_WIDTH}"
    require(where, max(widths) <= MAX_WIDTH, expected, widths)
    expected = f"vocabulary at most {MAX_VOCABULARY}, context at most {MAX_CONTEXT}"
    fits = c.vocabulary <= MAX_VOCABULARY and c.context <= MAX_CONTEXT
    require(where, fits, expected, (c.vocabulary, c.context))
    expected = f"activation of {', '.join(ACTIVATIONS)}"
    require(where, c.activation in ACTIVATIONS, expected, c.activation)
    require(where, c.pooling in POOLINGS, f"pooling of {', '.join(POOLINGS)}", c.pooling)
    require(where, c.norm_epsilon >= 0, "norm_epsilon not negative", c.norm_epsilon)
