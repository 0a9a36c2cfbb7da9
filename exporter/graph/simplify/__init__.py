"""What a graph can do without: work on constants, branches never taken, values nobody reads."""

from dataclasses import replace

from ..model import GraphModel
from .branches import without_known_branches
from .common import without_repeats
from .dead import without_dead
from .fold import folded
from .identities import without_identities
from .known_shapes import with_known_shapes

STEPS = (
    with_known_shapes,
    folded,
    without_known_branches,
    without_identities,
    without_repeats,
    without_dead,
)
MOST_ROUNDS = 50


def simplify(model: GraphModel) -> GraphModel:
    """The same graph with fewer nodes, until no step finds anything."""
    graph = model.graph
    for _ in range(MOST_ROUNDS):
        before = sum(1 for _ in graph.walk())
        for step in STEPS:
            graph = step(graph)
        if sum(1 for _ in graph.walk()) == before:
            break
    return replace(model, graph=graph)
