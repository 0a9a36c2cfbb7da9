"""Each kernel of a library once, as a region that ../arm/count.c counts; runs on the emulated CPU.

    guest.py LIBRARY ROWS COLUMNS NAME...

Regions are in the order of the names.  Prints where in memory the library is, first and end
address.  Fails if a sum is wrong.
"""

import ctypes
import sys
from pathlib import Path

from arm.guest import region
from ternary import layouts
from ternary.work import C_FUNCTION, Work


def main(path: str, rows: int, columns: int, names: list[str]) -> None:
    library = ctypes.CDLL(path)
    functions = {name: C_FUNCTION((name, library)) for name in ("dot", "add", "tables", "look")}
    work = Work(rows, columns, layouts.planes)
    work.check(functions)
    for number, name in enumerate(names, 1):
        region(0)
        work.run(functions, name)
        region(number)
    maps = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in maps if line.endswith(path)]
    print(int(spans[0][0], 16), int(spans[-1][1], 16))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
