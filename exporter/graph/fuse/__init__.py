"""Patterns of operators recognised and written as what edge runs; each pass keeps every value."""

from collections.abc import Callable

from ..model import GraphModel
from .activations import recognise_activations
from .attention import recognise_attention
from .batch_norms import fold_into_convolutions
from .channels_last import channels_last
from .cleanup import clean
from .cuts import cut_first
from .embeddings import make_embeddings
from .heads import keep_tokens_first
from .linear import make_linear
from .norms import recognise_norms
from .recurrent import make_recurrent

PASSES: tuple[Callable[[GraphModel], GraphModel], ...] = (
    clean,
    recognise_activations,
    recognise_norms,
    fold_into_convolutions,
    channels_last,
    recognise_norms,  # one over channels is over the last axis now
    make_recurrent,
    make_linear,
    cut_first,
    clean,
    recognise_attention,
    keep_tokens_first,
    make_embeddings,
    clean,
)
