"""Layers that hurt a graph most, back to floats: --max-drop."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.errors import RecipeError
from edge.format.graph import Node

from ..report import Progress
from .activity import Activity
from .forward import Values, begin, run, step
from .layers import PRODUCTS, matrices_of
from .model import GraphModel
from .plan import Plan
from .quantization import Quantized, StoredMatrix, in_floats, quantize_graph
from .samples import Samples

JUDGED, RANKED = 16, 2  # samples that a plan is judged by, that layers are ranked by


@dataclass(frozen=True)
class MaxDrop:
    """How far a quantized graph may be from the float one on the samples.

    measure  "output": ||y' - y|| / ||y|| of the worst output; "top1": the share of rows along the
             last axis of the first output whose largest number is at another place
    """

    limit: float
    measure: str = "output"

    @classmethod
    def parse(cls, text: str | float) -> "MaxDrop":
        """ "0.02" or "top1:0.01".  Raises RecipeError."""
        match = re.fullmatch(r"(?:(output|top1):)?([0-9]*\.?[0-9]+(?:[eE]-?[0-9]+)?)", str(text))
        if match is None or not 0 <= float(match[2]) <= 1:
            raise RecipeError(
                f"a drop of {text!r:.40}, expected a number from 0 to 1: 0.02 of the output's size, "
                "or top1:0.01 of the answers"
            )
        return cls(float(match[2]), match[1] or "output")

    def __str__(self) -> str:
        what = "of the output" if self.measure == "output" else "of the answers"
        return f"{self.limit:.2%} {what}"

    def of(self, expected: Mapping[str, Any], found: Mapping[str, Any]) -> float:
        return relative(expected, found) if self.measure == "output" else moved(expected, found)


def relative(expected: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """||y' - y|| / ||y||, of the worst output of floats."""
    errors = [0.0]
    for name, y in expected.items():
        if isinstance(y, np.ndarray) and y.dtype.kind == "f" and y.size:
            size = float(np.linalg.norm(y.astype(np.float64)))
            error = (
                float(np.linalg.norm(found[name].astype(np.float64) - y))
                if y.shape == found[name].shape
                else np.inf
            )
            errors.append(error / size if size else float(error > 0))
    return max(errors)


def moved(expected: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """Share of rows whose largest number is elsewhere, in the first output."""
    name = next(iter(expected))
    places = [np.asarray(values[name]).argmax(axis=-1) for values in (expected, found)]
    return float(np.mean(places[0] != places[1]))


def fall_back(
    model: GraphModel,
    plan: Plan,
    activity: Activity,
    samples: Samples,
    allowed: MaxDrop,
    progress: Progress = lambda done, total: None,
) -> tuple[Quantized, tuple[str, ...]]:
    """The plan with as few matrices in floats as the drop asks for, those first that hurt most.

    How much one hurts: the drop of the whole graph if it alone is quantized.  Raises RecipeError if
    floats do not suffice either.
    """
    some = samples.some(JUDGED)
    expected = [run(model.graph, model, sample) for sample in some]

    def judged(quantized: Quantized) -> float:
        found = [run(quantized.model.graph, quantized, sample, quantized.read) for sample in some]
        return float(np.mean([allowed.of(e, f) for e, f in zip(expected, found, strict=True)]))

    whole = quantize_graph(model, plan, activity)
    drop = judged(whole)
    said = f"drop of {drop:.2%}, {allowed} allowed"
    if drop <= allowed.limit:
        return whole, (f"{said}: no layer falls back",)
    ranked = rank(model, whole, samples.some(RANKED), progress)
    count, best, drop = _fewest(model, whole, ranked, judged, allowed.limit)
    names = ", ".join(ranked[: min(count, 5)]) + (", ..." if count > 5 else "")
    kept = f"{count} of {len(model.matrices)} matrices stay floats, for a drop of {drop:.2%}"
    return best, (f"{said}: {kept}: {names}",)


def _fewest(
    model: GraphModel,
    whole: Quantized,
    ranked: list[str],
    judged: Callable[[Quantized], float],
    limit: float,
) -> tuple[int, Quantized, float]:
    """By halves: more floats are taken to hurt less."""

    def tried(count: int) -> tuple[Quantized, float]:
        quantized = in_floats(whole, model, ranked[:count])
        return quantized, judged(quantized)

    low, high = 0, len(ranked)  # low does not suffice
    best, drop = tried(high)
    if drop > limit:
        raise RecipeError(
            f"--max-drop {limit:g}: with every layer in floats the drop is still {drop:.3g}; allow more"
        )
    while high - low > 1:
        middle = (low + high) // 2
        quantized, found = tried(middle)
        if found <= limit:
            high, best, drop = middle, quantized, found
        else:
            low = middle
    return high, best, drop


def rank(
    model: GraphModel,
    quantized: Quantized,
    samples: Samples,
    progress: Progress = lambda done, total: None,
) -> list[str]:
    """Quantized matrices, by how much each alone moves the outputs: the worst first.

    Of a sample all values stay in memory, so that only what comes after a layer is run again.
    """
    names = [n for n, s in quantized.stored.items() if s.tensor is not None]
    hurts = dict.fromkeys(names, 0.0)
    readers: dict[str, list[int]] = {}
    for at, node in enumerate(model.graph.nodes):
        for name in matrices_of(node):
            readers.setdefault(name, []).append(at)
    done, total = 0, len(names) * len(samples)
    for sample in samples:
        known = begin(model.graph, sample)
        for node in model.graph.nodes:
            step(node, known, model)
        for name in names:
            one = _One(model, name, quantized.stored[name])
            found = _again(model, known, one, readers.get(name, []))
            hurts[name] += relative({v.name: known[v.name] for v in model.graph.outputs}, found)
            done += 1
            progress(done, total)
    return sorted(names, key=lambda name: -hurts[name])


@dataclass(frozen=True)
class _One:
    """A float model of which one matrix is quantized."""

    model: GraphModel
    name: str
    stored: StoredMatrix

    def dense(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        if name == self.name:
            return self.stored.weight, self.model.matrices[name].bias
        return self.model.dense(name)

    def read(self, node: Node, x: np.ndarray) -> np.ndarray:
        mine = node.attributes["weight"] == self.name and node.op in PRODUCTS
        return self.stored.read(x) if mine else x


def _again(model: GraphModel, known: Values, one: _One, readers: list[int]) -> dict[str, Any]:
    """Outputs if the layers at these nodes, and what depends on them, run anew."""
    values, changed = dict(known), set[str]()
    for at in range(min(readers, default=len(model.graph.nodes)), len(model.graph.nodes)):
        node = model.graph.nodes[at]
        inside = {name for graph in node.graphs for name in graph.captured}
        if at in readers or changed.intersection((*node.inputs, *inside)):
            step(node, values, one, one.read)
            changed.update(filter(None, node.outputs))
    return {value.name: values[value.name] for value in model.graph.outputs}
