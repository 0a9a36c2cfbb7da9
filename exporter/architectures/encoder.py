"""What a family of encoders is, and how a checkpoint of it becomes ours."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from edge.errors import SourceError, UnsupportedModel
from edge.format import encoder_config
from edge.format.encoder_config import EncoderConfig

from ..sources import Source
from .architecture import LayerNames
from .keys import Keys
from .lowered import Lowered, checked
from .placement import Placement
from .tensors import Checkpoint, Shape, check_all_placed, of_layer, padded_head_dim, whole

SENTENCE = "sentence"  # the key of a source's config that says how texts become vectors
BUFFERS = re.compile(r"(.*\.)?embeddings\.(position_ids|token_type_ids)")  # they count, no more


@dataclass(frozen=True)
class EncoderArchitecture:
    """One family of encoders.

    encoder   the configuration; head_dim is the model's own, `context` what its positions hold
    layer     names of a layer's tensors, without `.weight` and `.bias`; all have both
    stem      what they begin with, `{}` for the layer's number
    types     the table of token types, the first of which every text has; None without
    reserved  rows at the beginning of the table of positions that no token uses
    prefixes  other beginnings of tensor names -> the usual ones
    unused    tensors of heads, which embeddings do not need
    """

    encoder: Callable[[Keys], EncoderConfig]
    layer: LayerNames
    stem: str
    types: str | None
    reserved: int = 0
    words: str = "embeddings.word_embeddings.weight"
    positions: str = "embeddings.position_embeddings.weight"
    norm: str = "embeddings.LayerNorm"
    prefixes: dict[str, str] = field(default_factory=dict)
    unused: re.Pattern[str] | None = None


@dataclass(frozen=True)
class PositionPlacement(Placement):
    """The table of positions, each row with what the first token type adds, padded with zeros.

    shape  (positions * hidden,), from row `first_row` of a matrix that is `hidden` wide
    """

    hidden: int = 0
    width: int = 0  # of a row as it is stored
    types: str | None = None

    @property
    def rows(self) -> slice:
        return slice(self.first_row, self.first_row + self.shape[0] // self.hidden)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        return (self.shape[0] // self.hidden * self.width,)

    def read(self, source: Source) -> np.ndarray:
        table = source.read(self.source)[self.rows]
        if self.types is not None:
            table = table + source.read(self.types)[0]
        padded: np.ndarray = np.pad(table, ((0, 0), (0, self.width - self.hidden))).ravel()
        return padded


def lower_encoder(source: Source, keys: Keys, family: EncoderArchitecture) -> Lowered:
    """Find all tensors of a source; reads no weight.

    Raises SourceError (a key or tensor is missing or wrong), UnsupportedModel (edge lacks it).
    """
    checkpoint = Checkpoint(source, family.prefixes, family.unused)
    config, notes = _with_sentences(family.encoder(keys), keys)
    tensors = _place(checkpoint, family, config, keys)
    stored = replace(config, head_dim=padded_head_dim(config.head_dim))
    notes += tuple(_left_out(checkpoint))
    return Lowered(checked(stored, encoder_config.from_json, source.name), tensors, notes)


def _with_sentences(config: EncoderConfig, keys: Keys) -> tuple[EncoderConfig, tuple[str, ...]]:
    """How texts become vectors: as the source says, else the mean of unit length."""
    if SENTENCE not in keys:
        note = (
            "the source does not say how tokens become one vector (modules.json): "
            "their mean, of unit length, is taken"
        )
        return config, (note,)
    said = keys.under(SENTENCE)
    context = min(config.context, said.integer("max_length", config.context))
    pooling, normalize = said.text("pooling", "mean"), said.flag("normalize")
    prompt = said.text("prompt", "")
    told = f"texts are meant to begin with {prompt!r:.80}; edge does not add it" if prompt else ""
    config = replace(config, context=context, pooling=pooling, normalize=normalize)
    return config, (told,) if told else ()


def _left_out(checkpoint: Checkpoint) -> list[str]:
    heads = [name for name in checkpoint.unused if not BUFFERS.fullmatch(name)]
    if not heads:
        return []
    return [f"{len(heads)} tensors that embeddings do not need are left out ({heads[0]:.60}, ...)"]


def layer_shapes(config: EncoderConfig) -> dict[str, Shape]:
    """What a layer holds, in the order a step reads it; shapes before padding."""
    hidden, width = config.hidden, config.heads * config.head_dim
    return {
        "attention.query": (width, hidden),
        "attention.key": (width, hidden),
        "attention.value": (width, hidden),
        "attention.output": (hidden, width),
        "attention_norm": (hidden,),
        "feed_forward.up": (config.feed_forward, hidden),
        "feed_forward.down": (hidden, config.feed_forward),
        "feed_forward_norm": (hidden,),
    }


def _place(
    checkpoint: Checkpoint, family: EncoderArchitecture, config: EncoderConfig, keys: Keys
) -> tuple[Placement, ...]:
    """All our tensors in file order.  `config` has the model's own head_dim."""
    hidden, shapes = (config.hidden,), layer_shapes(config)
    found = [
        whole(checkpoint, "embedding.weight", family.words, (config.vocabulary, config.hidden)),
        _positions(checkpoint, family, config, keys),
        *(
            whole(checkpoint, f"embedding_norm.{part}", f"{family.norm}.{part}", hidden)
            for part in ("weight", "bias")
        ),
    ]
    for layer in range(config.layers):
        stems = f"layers.{layer}.", family.stem.format(layer)
        found += of_layer(checkpoint, family.layer, shapes, stems, shapes, config.head_dim)
    unplaced = {family.types} if family.types else set[str]()
    check_all_placed(checkpoint, found, config, unplaced)
    return tuple(found)


def _positions(
    checkpoint: Checkpoint, family: EncoderArchitecture, config: EncoderConfig, keys: Keys
) -> PositionPlacement:
    stored = keys.integer("max_position_embeddings")
    types = None
    if family.types is not None:
        shape = keys.integer("type_vocab_size"), config.hidden
        types = checkpoint.find(family.types, shape)
    return PositionPlacement(
        name="positions",
        source=checkpoint.find(family.positions, (stored, config.hidden)),
        shape=(config.context * config.hidden,),
        first_row=family.reserved,
        hidden=config.hidden,
        width=config.position_width,
        types=types,
    )


def refuse(keys: Keys, key: str, supported: str) -> None:
    """Raises UnsupportedModel if the key says anything but what is supported."""
    found = keys.text(key, supported)
    if found != supported:
        raise UnsupportedModel(f"{keys.where}: {key} {found!r:.60}; edge has {supported!r}")


def context(keys: Keys, reserved: int) -> int:
    """Positions that tokens can have."""
    positions = keys.integer("max_position_embeddings") - reserved
    if positions < 1:
        raise SourceError(f"{keys.where}: no position is left behind {reserved} reserved ones")
    return positions
