"""Mistral: Llama with a window over every layer."""

from dataclasses import replace

from edge.format.config import DecoderConfig

from . import llama
from .architecture import Architecture
from .keys import Keys
from .windows import windows

DEFAULTS = {"num_key_value_heads": 8, "sliding_window": 4096}


def decoder(keys: Keys) -> DecoderConfig:
    plain = llama.decoder(keys)
    return replace(plain, layer_window=windows(keys, [True] * plain.layers))


MISTRAL = Architecture(decoder, llama.NAMES, DEFAULTS)
