"""The tensors of a model, in the order a step reads them, matched with a checkpoint's."""

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from itertools import accumulate

from edge.errors import SourceError, UnsupportedModel
from edge.format.config import DecoderConfig
from edge.format.encoder_config import EncoderConfig

from ..sources import Source
from .architecture import Architecture, LayerNames
from .placement import HeadPadding, Placement

Shape = tuple[int, ...]
FREQUENCIES = re.compile(r"(.*\.)?rotary_emb\.inv_freq")  # follows from the configuration
OUTPUT = "lm_head.weight"
HEAD_MULTIPLE = 16  # what kernels want
# Along which axis a tensor's heads lie.
HEADS = {"attention.query": 0, "attention.key": 0, "attention.value": 0, "attention.output": 1}


class Checkpoint:
    """The names of a source's tensors, as the family's plain checkpoints have them."""

    def __init__(
        self, source: Source, prefixes: dict[str, str], unused: re.Pattern[str] | None
    ) -> None:
        self.source = source
        self.names: dict[str, str] = {}  # usual name -> the source's
        self.unused: list[str] = []
        for name in source.names():
            if unused and unused.fullmatch(name):
                self.unused.append(name)
            elif not FREQUENCIES.fullmatch(name):
                self._add(_usual(name, prefixes), name)

    def _add(self, name: str, theirs: str) -> None:
        if name in self.names:
            raise SourceError(
                f"{self.source.name}: tensors {self.names[name]!r} and {theirs!r} are both {name!r}"
            )
        self.names[name] = theirs

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def find(self, name: str, shape: Shape) -> str:
        """The source's name of a tensor that must be there, and have this shape."""
        if name not in self.names:
            raise SourceError(
                f"{self.source.name}: tensor {name!r} is missing, expected shape {list(shape)}"
            )
        theirs = self.names[name]
        found = tuple(self.source.shape(theirs))
        if found != shape:
            raise SourceError(
                f"{self.source.name}: tensor {theirs!r} has shape {list(found)}, "
                f"the config says {list(shape)}"
            )
        return theirs


def _usual(name: str, prefixes: dict[str, str]) -> str:
    for prefix, usual in prefixes.items():
        if name.startswith(prefix):
            return usual + name.removeprefix(prefix)
    return name


def layer_shapes(config: DecoderConfig) -> dict[str, Shape]:
    """What a layer may hold, in the order a decode reads it; shapes before padding."""
    hidden, feed_forward = config.hidden, config.feed_forward
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    return {
        "attention_norm": (hidden,),
        "attention.query": (queries, hidden),
        "attention.key": (keys, hidden),
        "attention.value": (keys, hidden),
        "attention.query_norm": (config.head_dim,),
        "attention.key_norm": (config.head_dim,),
        "attention.sub_norm": (queries,),
        "attention.output": (hidden, queries),
        "attention_post_norm": (hidden,),
        "feed_forward_norm": (hidden,),
        "feed_forward.gate": (feed_forward, hidden),
        "feed_forward.up": (feed_forward, hidden),
        "feed_forward.sub_norm": (feed_forward,),
        "feed_forward.down": (hidden, feed_forward),
        "feed_forward_post_norm": (hidden,),
    }


def place(
    checkpoint: Checkpoint,
    architecture: Architecture,
    config: DecoderConfig,
    biased: Container[str],
) -> tuple[Placement, ...]:
    """All our tensors in file order.  `config` has the model's own head_dim.

    Raises SourceError if a tensor (or a bias of `biased`) is missing or has another shape than the
    configuration says, UnsupportedModel if the checkpoint holds one that has no place.
    """
    table = (config.vocabulary, config.hidden)
    embedding = whole(checkpoint, "embedding.weight", "model.embed_tokens.weight", table)
    found = [] if config.tied_embedding else [embedding]
    for layer in range(config.layers):
        stems = f"layers.{layer}.", f"model.layers.{layer}."
        shapes = layer_shapes(config)
        found += of_layer(checkpoint, architecture.layer, shapes, stems, biased, config.head_dim)
    found.append(whole(checkpoint, "output_norm.weight", "model.norm.weight", (config.hidden,)))
    if config.tied_embedding:
        found.append(embedding)  # a step reads one row of it first, and all of it last
    else:
        found.append(whole(checkpoint, "output.weight", OUTPUT, table))
    unplaced = {OUTPUT} if config.tied_embedding else set[str]()
    check_all_placed(checkpoint, found, config, unplaced)
    folded = checkpoint.source.norms_are_folded
    return tuple(_with_offset(t, 0.0 if folded else architecture.norm_offset) for t in found)


def _with_offset(tensor: Placement, offset: float) -> Placement:
    return replace(tensor, offset=offset) if tensor.name.endswith("_norm.weight") else tensor


def padded_head_dim(head_dim: int) -> int:
    """The next multiple of 16."""
    return -(-head_dim // HEAD_MULTIPLE) * HEAD_MULTIPLE


def whole(checkpoint: Checkpoint, name: str, theirs: str, shape: Shape) -> Placement:
    return Placement(name, checkpoint.find(theirs, shape), shape)


def of_layer(
    checkpoint: Checkpoint,
    names: LayerNames,
    shapes: dict[str, Shape],
    stems: tuple[str, str],
    biased: Container[str],
    head_dim: int,
) -> Iterator[Placement]:
    """A layer's tensors; `stems` begin our names and theirs, `biased` must have a bias."""
    our_stem, their_stem = stems
    origins = _origins(names, shapes)
    for stem in [s for s in shapes if s in origins]:
        theirs, first_row, rows = origins[stem]
        parts = {"weight": shapes[stem][1:]}
        may_be_biased = len(shapes[stem]) == 2 and f"{their_stem}{theirs}.bias" in checkpoint
        if may_be_biased or stem in biased:
            parts["bias"] = ()
        for part, columns in parts.items():
            yield Placement(
                name=f"{our_stem}{stem}.{part}",
                source=checkpoint.find(f"{their_stem}{theirs}.{part}", (rows, *columns)),
                shape=(shapes[stem][0], *columns),
                first_row=first_row,
                padding=_padding(stem, part, head_dim),
            )


def _origins(names: LayerNames, shapes: dict[str, Shape]) -> dict[str, tuple[str, int, int]]:
    """For each of ours: the checkpoint's name, our first row in it, and how many it has."""
    origins = {}
    for theirs, ours in names.items():
        starts = [0, *accumulate(shapes[stem][0] for stem in ours)]
        for stem, start in zip(ours, starts, strict=False):
            origins[stem] = theirs, start, starts[-1]
    return origins


def _padding(stem: str, part: str, head_dim: int) -> HeadPadding | None:
    axis = HEADS.get(stem)
    padded = padded_head_dim(head_dim)
    if axis is None or padded == head_dim or (axis == 1 and part == "bias"):
        return None
    return HeadPadding(axis, head_dim, padded)


def check_all_placed(
    checkpoint: Checkpoint,
    found: Iterable[Placement],
    config: DecoderConfig | EncoderConfig,
    unplaced: Container[str] = (),
) -> None:
    """Raises UnsupportedModel for a tensor that none of ours comes from, but for `unplaced`."""
    placed = {p.source for p in found}
    for name, theirs in checkpoint.names.items():
        if theirs not in placed and name not in unplaced:
            raise UnsupportedModel(
                f"{checkpoint.source.name}: tensor {theirs!r:.120} has no place in a "
                f"{config.architecture} model with {config.layers} layers"
            )
