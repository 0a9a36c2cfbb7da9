"""Who makes the int8 codes that convolutions read: the unit before, or one of its own."""

from collections.abc import Mapping

from .lowering import touched
from .storage import Buffer, Place
from .units.chain import Chain
from .units.convolution import PIXELS, Convolution
from .units.host import Host
from .units.norm import Norm
from .units.unit import Codes, Unit
from .units.window import Window

Units = list[Unit | Host]
ROWS_A_THREAD = 2 * PIXELS  # of a product that is not cut by channels


def with_codes(units: Units, places: Mapping[str, Place], kept: set[Buffer], threads: int) -> Units:
    """The same units, with codes for whoever reads them; `kept` are buffers read afterwards."""
    made: dict[tuple[object, ...], Codes] = {}
    makers: dict[Buffer, Unit] = {}
    result: Units = []
    for unit in units:
        wanted = unit.wanted_codes() if isinstance(unit, Convolution) else None
        if wanted is not None:
            assert isinstance(unit, Convolution)
            key = (unit.x.buffer, *wanted.key)
            if key not in made:
                made[key] = wanted
                if not _takes(makers.get(unit.x.buffer), wanted, threads):
                    result.append(Chain(unit.x, None, wanted))
            unit.codes = made[key]
        result.append(unit)
        if isinstance(unit, Unit):
            makers[unit.out.buffer] = unit
    _drop_floats(result, places, kept)
    return result


def _takes(maker: Unit | None, codes: Codes, threads: int) -> bool:
    """Whether the unit that makes the floats can make the codes, too."""
    if not isinstance(maker, Chain | Window | Norm | Convolution) or maker.sink is not None:
        return False
    if isinstance(maker, Norm) and any(codes.borders):
        return False
    if isinstance(maker, Convolution) and threads > 1 and maker.out.rows < ROWS_A_THREAD * threads:
        return False  # threads share its channels, and a pixel's codes need all of them
    if isinstance(maker, Window) and maker.kind != "depthwise":
        return False
    if (
        maker.out.width != codes.width
        or maker.out.rows != codes.images * codes.height * codes.columns
    ):
        return False
    maker.sink = codes
    return True


def _drop_floats(units: Units, places: Mapping[str, Place], kept: set[Buffer]) -> None:
    """Who makes floats that nobody reads does not store them."""
    readers: set[Buffer] = set(kept)
    for unit in units:
        encodes = isinstance(unit, Chain) and unit.root is None  # what it writes is what it reads
        own = unit.out.buffer if isinstance(unit, Unit) and not encodes else None
        readers.update(buffer for buffer in touched(unit, places) if buffer is not own)
    for unit in units:
        if isinstance(unit, Chain | Window) and unit.sink is not None:
            copies = isinstance(unit, Chain) and unit.root is None
            unit.stores = copies or unit.out.buffer in readers
