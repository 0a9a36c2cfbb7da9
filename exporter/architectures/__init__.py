"""Model families as data: config.json -> our configuration, checkpoint tensors -> ours."""

from dataclasses import replace
from typing import Any

from edge.errors import UnsupportedModel
from edge.format import config as format_config
from edge.format.config import DecoderConfig

from ..sources import Source
from .architecture import Architecture
from .bert import BERT, DISTILBERT, ROBERTA
from .bitnet import BITNET
from .encoder import lower_encoder
from .gemma import GEMMA2, GEMMA3
from .keys import Keys
from .llama import LLAMA
from .lowered import Lowered as Lowered
from .lowered import checked
from .mistral import MISTRAL
from .phi import PHI3
from .qwen import QWEN2, QWEN3
from .tensors import OUTPUT, Checkpoint, padded_head_dim, place

# The keys are Hugging Face's `model_type`.
ARCHITECTURES = {
    "llama": LLAMA,
    "mistral": MISTRAL,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gemma2": GEMMA2,
    "gemma3": GEMMA3,
    "gemma3_text": GEMMA3,
    "phi3": PHI3,
    "bitnet": BITNET,
}
ENCODERS = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "distilbert": DISTILBERT,
}


def architecture(name: str, where: str) -> Architecture:
    try:
        return ARCHITECTURES[name]
    except KeyError:
        raise UnsupportedModel(
            f"{where}: model type {name!r:.60}; edge has {', '.join([*ARCHITECTURES, *ENCODERS])}"
        ) from None


def lower(source: Source) -> Lowered:
    """Read a source's configuration and find all its tensors; reads no weight.

    Raises SourceError (a key or tensor is missing or wrong), UnsupportedModel (edge lacks it).
    """
    keys = _text_keys(source)
    if keys.text("model_type") in ENCODERS:
        return lower_encoder(source, keys, ENCODERS[keys.text("model_type")])
    family = architecture(keys.text("model_type"), source.name)
    keys = keys.over(family.defaults)
    checkpoint = Checkpoint(source, family.prefixes, family.unused)
    config = replace(family.decoder(keys), tied_embedding=_tied(keys, checkpoint))
    _check_heads(config, source.name)
    tensors = place(checkpoint, family, config, family.biases(keys))
    stored = replace(config, head_dim=padded_head_dim(config.head_dim))
    return Lowered(
        checked(stored, format_config.from_json, source.name), tensors, _notes(checkpoint)
    )


def _text_keys(source: Source) -> Keys:
    """The configuration of the language model, which multimodal ones nest."""
    keys = Keys(source.config, source.name)
    text: dict[str, Any] = keys.under("text_config").values
    return Keys(source.config | text | keys.present("model_type"), source.name)


def _tied(keys: Keys, checkpoint: Checkpoint) -> bool:
    """Whether the embedding is the output matrix too; where the config is silent, the file says."""
    return keys.flag("tie_word_embeddings", OUTPUT not in checkpoint)


def _check_heads(config: DecoderConfig, where: str) -> None:
    """Zeros behind a head change the mean that a norm over heads takes."""
    if padded_head_dim(config.head_dim) != config.head_dim and (config.qk_norm or config.sub_norms):
        raise UnsupportedModel(
            f"{where}: norms over heads of {config.head_dim} elements, edge needs a multiple of 16"
        )


def _notes(checkpoint: Checkpoint) -> tuple[str, ...]:
    unused = len(checkpoint.unused)
    return (f"text only: {unused} tensors of the vision part are left out",) if unused else ()
