"""Where upgrades are registered."""

from collections.abc import Callable
from typing import Any

from edge.errors import UnsupportedModel
from edge.format.graph import Node

from ..rewriting import Rewriting

Upgrade = Callable[[Node, Rewriting], list[Node]]
ALWAYS = 2**31  # before this opset: in all of them

UPGRADES: dict[str, list[tuple[int, Upgrade]]] = {}  # by operator: (before this opset, how)


def upgrades(*ops: str, before: int = ALWAYS) -> Callable[[Upgrade], Upgrade]:
    """Register a function for the operators of these names, as they were before an opset."""

    def register(upgrade: Upgrade) -> Upgrade:
        for op in ops:
            UPGRADES.setdefault(op, []).append((before, upgrade))
            UPGRADES[op].sort(key=lambda entry: entry[0])
        return upgrade

    return register


def without(node: Node, *names: str) -> dict[str, Any]:
    """Its attributes but these."""
    return {key: value for key, value in node.attributes.items() if key not in names}


def refused(node: Node, what: str) -> UnsupportedModel:
    return UnsupportedModel(f"operator {node}: {what}; export the model with a newer opset")
