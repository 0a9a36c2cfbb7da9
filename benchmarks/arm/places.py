"""Where in a process the instructions of a region were: kernels by name, other code by file."""

from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

Counts = Counter[tuple[int, str]]


def by_place(counts: Counts, document: dict[str, Any]) -> Counter[str]:
    """Instructions by kernel or mapped file, from what guest.py printed."""
    spans = sorted(_span(line) for line in document["maps"])
    kernels = sorted((address, name) for name, address in document["kernels"].items())
    places: Counter[str] = Counter()
    for (address, _), count in counts.items():
        i = bisect_right(spans, (address, 2**64, "")) - 1
        start, end, file = spans[i]
        name = file if start <= address < end else "elsewhere"
        if start <= address < end and any(start <= at < end for at, _ in kernels):
            name = kernels[max(bisect_right(kernels, (address, "\uffff")) - 1, 0)][1]
        places[name] += count
    return places


def _span(line: str) -> tuple[int, int, str]:
    """Start, end and short name of a line of /proc/self/maps."""
    fields = line.split(maxsplit=5)
    start, end = (int(part, 16) for part in fields[0].split("-"))
    path = Path(fields[5]) if len(fields) == 6 else Path("anonymous")
    package = [part for part in path.parts if part.startswith(("numpy", "tokenizers"))]
    return start, end, package[0].split(".")[0] if package else path.name.split(".so")[0]
