"""What an architecture is: two tables and a function that reads its config.json."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.format.config import DecoderConfig

from .keys import Keys

# What a checkpoint calls a tensor of a layer -> what we do. Several of ours are rows of one
# of theirs, in this order.
LayerNames = dict[str, tuple[str, ...]]


def no_biases(keys: Keys) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Architecture:
    """One family of decoders.

    decoder   the configuration; head_dim is the model's own, heads are padded later
    layer     names of a layer's tensors, without `.weight` and `.bias`
    defaults  what transformers takes for keys that a config.json leaves out
    biases    ours that must have a bias; any matrix may
    norm_offset  what is added to a norm's stored weight
    prefixes  other beginnings of tensor names -> the usual ones
    unused    tensors of a part of the model that edge does not run
    """

    decoder: Callable[[Keys], DecoderConfig]
    layer: LayerNames
    defaults: dict[str, Any] = field(default_factory=dict)
    biases: Callable[[Keys], tuple[str, ...]] = no_biases
    norm_offset: float = 0.0
    prefixes: dict[str, str] = field(default_factory=dict)
    unused: re.Pattern[str] | None = None
