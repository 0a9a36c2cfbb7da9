"""What running a model will take of memory, from its header alone: no kernel, no weight is read."""

from dataclasses import dataclass

from edge.format.reader import EdgeFile

from .kernels.library import Library
from .kv_cache import POSITIONS, KvCache, cache_shape
from .lowering.decoder import lower
from .model import DEFAULT_BATCH, usable_cores


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


def footprint(file: EdgeFile, kv: str = "float16") -> Footprint:
    cache = KvCache(cache_shape(file.config, kv, POSITIONS))
    program = lower(
        file, cache, _NoKernels(), threads=usable_cores(), tokens=DEFAULT_BATCH, outputs=1
    )
    return Footprint(
        weights=sum(i.nbytes for i in file.tensors.values() if i.format != "bytes"),
        kv_per_token=cache.shape.nbytes // POSITIONS,
        arena=program.buffers.arena.nbytes,
    )


def bytes_per_token(file: EdgeFile) -> int:
    """Bytes of weights that one token reads: of the embedding only a row, unless it is tied."""
    skipped = () if file.config.tied_embedding else ("embedding.weight",)
    return sum(
        info.nbytes
        for info in file.tensors.values()
        if info.format != "bytes" and info.name not in skipped
    )
