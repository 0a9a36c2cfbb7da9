"""A stretch of nodes bound to shapes: plans of kernels, and operators in NumPy between them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.errors import DoesNotFit

from ..libraries.library import Library
from ..lowering.weights import Weights
from ..plan import Op, Plan
from ..team import Team
from . import handlers as _  # noqa: F401  (registers what lowers nodes)
from .bands import in_bands
from .borrowed import borrow
from .lowering import Lowering, Stretch, touched
from .matrices import FileMatrices
from .sinks import with_codes
from .storage import Buffer, Memory, Place
from .units.host import Call, Host, Views
from .units.lookup import Lookup
from .units.unit import Context, Unit


class Program:
    """Ready to run for values of the shapes that it was made for; not by two threads at once."""

    def __init__(
        self,
        stretch: Stretch,
        library: Library,
        threads: int,
        weights: Weights,
        matrices: FileMatrices,
    ):
        lowering = Lowering(stretch, weights, matrices)
        lowering.lower()
        self._places: dict[str, Place] = lowering.places
        self.memory = Memory(weights.arena)
        kept = {self._places[n].buffer for n in stretch.wanted if n in self._places}
        units = with_codes(lowering.units, self._places, kept, threads)
        units = in_bands(borrow(units, self._places, kept), self._places, kept, threads)
        made = {name for node in stretch.nodes for name in node.outputs}
        self._given = [name for name in self._places if name not in made]
        self._constants = {
            n: f.value for n, f in stretch.facts.items() if f and f.value is not None
        }
        self._wanted = stretch.wanted
        self._lay_out(units, kept)
        self._views = Views(self._places)
        self.scratch_bytes = max(
            (unit.scratch_bytes() for unit in units if isinstance(unit, Unit)), default=0
        )
        self.steps = _steps(units, Context(threads, self.memory, weights), library)

    @property
    def nbytes(self) -> int:
        return self.memory.arena.nbytes

    def run(self, values: Mapping[str, Any], team: Team, call: Call) -> dict[str, Any]:
        """The values that are wanted afterwards, as arrays of their own."""
        known = {**self._constants, **values}
        for name in self._given:
            self._views.write(name, known[name])
        for step in self.steps:
            if isinstance(step, Plan):
                team.run(step, 1, 1)
            elif isinstance(step, Lookup):
                step.take(np.asarray(known[step.ids]))
            else:
                step.run(call, known, self._views, self.memory)
        return {name: self._result(name, known) for name in self._wanted}

    def _result(self, name: str, known: Mapping[str, Any]) -> Any:
        return known[name] if name in known else self._views[name].copy()

    def _lay_out(self, units: list[Unit | Host], kept: set[Buffer]) -> None:
        buffers: dict[Buffer, None] = {}
        for name in self._given:
            self._places[name].buffer.used(0)
            buffers[self._places[name].buffer] = None
        for i, unit in enumerate(units):
            for buffer in touched(unit, self._places):
                buffer.used(i)
                buffers[buffer] = None
        for buffer in kept:
            buffer.used(len(units))
        try:
            self.memory.lay_out(list(buffers))
        except MemoryError:
            raise DoesNotFit(
                "the graph's working memory cannot be had; use smaller inputs"
            ) from None


Step = Plan | Lookup | Host


def _steps(units: list[Unit | Host], context: Context, library: Library) -> list[Step]:
    steps: list[Step] = []
    ops: list[Op] = []
    for unit in units:
        if isinstance(unit, Unit) and not isinstance(unit, Lookup):
            ops += unit.ops(context)
            continue
        if ops:
            steps.append(Plan(ops, library))
            ops = []
        steps.append(unit)
        if isinstance(unit, Lookup):  # its numbers are copied first
            ops = unit.ops(context)
    if ops:
        steps.append(Plan(ops, library))
    return steps
