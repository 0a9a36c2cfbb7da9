"""What running a model will take of memory, from its header alone: no kernel, no weight is read."""

from dataclasses import dataclass

from edge.format.encoder_config import EncoderConfig
from edge.format.reader import EdgeFile

from .encoder import step_tokens
from .kv_cache import POSITIONS, CacheShape, KvCache, cache_shape
from .libraries.library import Library
from .lowering import encoder
from .lowering.decoder import lower
from .model import DEFAULT_BATCH, DEFAULT_CONTEXT, usable_cores


@dataclass(frozen=True)
class Footprint:
    """Bytes: the mapped weights, the cache of one token, the buffers between ops."""

    weights: int
    kv_per_token: int
    arena: int


class _NoKernels(Library):
    """Stands in for the library while a plan is only measured."""

    def __init__(self) -> None:
        pass

    def load(self, names: list[str]) -> None:
        pass

    def address(self, name: str) -> int:
        return 0


class _NoCache(KvCache):
    """Stands in for the cache's memory."""

    def __init__(self, shape: CacheShape) -> None:
        self.shape = shape

    def layer(self, index: int) -> int:
        return 0


def footprint(file: EdgeFile, kv: str = "float16") -> Footprint:
    """As `Model` or `Encoder` would take it if not asked for another context or batch."""
    is_encoder = isinstance(file.config, EncoderConfig)
    kv_per_token, arena = (0, _arena(file)) if is_encoder else _of_decoder(file, kv)
    weights = sum(i.nbytes for i in file.tensors.values() if i.format != "bytes")
    return Footprint(weights, kv_per_token, arena)


def _of_decoder(file: EdgeFile, kv: str) -> tuple[int, int]:
    context = min(file.config.context, DEFAULT_CONTEXT)
    cache, tokens = _NoCache(cache_shape(file.config, kv, context)), min(DEFAULT_BATCH, context)
    program = lower(file, cache, _NoKernels(), threads=usable_cores(), tokens=tokens, outputs=1)
    kv_per_token = cache_shape(file.config, kv, POSITIONS).nbytes // POSITIONS
    return kv_per_token, program.buffers.arena.nbytes


def _arena(file: EdgeFile) -> int:
    """Of an encoder."""
    tokens = step_tokens(file.config)
    program = encoder.lower(file, _NoKernels(), threads=usable_cores(), tokens=tokens)
    return program.arena.nbytes


def bytes_per_token(file: EdgeFile) -> int:
    """Bytes of weights that one token reads: of the embedding only a row, unless it is tied."""
    skipped = () if file.config.tied_embedding else ("embedding.weight",)
    return sum(
        info.nbytes
        for info in file.tensors.values()
        if info.format != "bytes" and info.name not in skipped
    )
