"""Which layers of a model see only the last tokens, and how many."""

from collections.abc import Iterable

from edge.errors import UnsupportedModel

from .keys import Keys

SLIDING = {"sliding_attention": True, "full_attention": False}


def windows(keys: Keys, sliding: Iterable[bool]) -> tuple[int, ...]:
    """Tokens each layer attends to, itself included; 0 = all, as for a null `sliding_window`."""
    window = keys.integer("sliding_window") if "sliding_window" in keys else 0
    return tuple(window if s else 0 for s in sliding)


def layer_types(keys: Keys, layers: int) -> list[bool] | None:
    """Whether each layer slides, where the config lists it; else None."""
    if "layer_types" not in keys:
        return None
    kinds = keys.texts("layer_types", layers)
    for kind in kinds:
        if kind not in SLIDING:
            raise UnsupportedModel(
                f"{keys.where}: layer type {kind!r:.60}; edge has {', '.join(SLIDING)}"
            )
    return [SLIDING[kind] for kind in kinds]
