"""Images that a convolution reads from where they were before they were moved for it.

It copies its input between borders anyhow: it may as well do so from the model's own layout.
"""

from collections import Counter
from collections.abc import Mapping

from .lowering import touched
from .storage import Buffer, Place
from .units.convolution import Convolution
from .units.host import Host
from .units.move import Move
from .units.unit import Unit


def borrow(
    units: list[Unit | Host], places: Mapping[str, Place], kept: set[Buffer]
) -> list[Unit | Host]:
    """The same units, without moves that only served such a convolution."""
    users = Counter(buffer for unit in units for buffer in set(touched(unit, places)))
    makers = {unit.out.buffer: unit for unit in units if isinstance(unit, Move)}
    result = list(units)
    for unit in units:
        move = makers.get(unit.x.buffer) if isinstance(unit, Convolution) else None
        if move is None or users[move.out.buffer] != 2 or move.out.buffer in kept:
            continue
        assert isinstance(unit, Convolution)
        copies = unit.codes is None and any(unit.sliding.pads)
        if unit.residual is not None and unit.residual.buffer is move.out.buffer:
            continue  # it adds what it reads
        if copies and move.shape == unit.x.shape and move.to_steps == unit.x.steps():
            unit.moved = move
            result.remove(move)
    return result
